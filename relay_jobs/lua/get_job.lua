-- Reads one job of a workspace by the stage in force.
-- KEYS: legacy copy, workspace copy (named for access control)
-- ARGV: workspace, job id, stage of the process's flags, '1' if the process reads legacy
-- Returns: {side, values} | {'miss'} | {'flags', stage}
local workspace, id = ARGV[1], ARGV[2]
local recorded = stage_of(workspace, ARGV[3])
local stage = reading_stage(recorded, ARGV[4], workspace)
if not stage then return {'flags', recorded} end
local side, values = read_job(stage, workspace, id)
if not side then return {'miss'} end
return {side, values}

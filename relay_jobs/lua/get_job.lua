-- Reads one job of a workspace by the stage in force.
-- KEYS: none; access control looks at each key when it is read
-- ARGV: workspace, job id, stage of the process's flags, '1' if the process reads legacy
-- Returns: {side, job id, value, ...} | {'miss'} | {'flags', stage}
local workspace, id = ARGV[1], ARGV[2]
local recorded = stage_of(workspace, ARGV[3])
local stage = reading_stage(recorded, ARGV[4], workspace)
if not stage then return {'flags', recorded} end
return read_job(stage, workspace, id) or {'miss'}

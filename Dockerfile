# The slim image is Airflow without the providers that are not used here; its Python is the one that the tests run on.
FROM apache/airflow:slim-3.3.2-python3.11 AS wheel

COPY --chown=airflow:root pyproject.toml README.md LICENSE requirements.txt /tmp/relay-jobs/
COPY --chown=airflow:root relay_jobs /tmp/relay-jobs/relay_jobs
COPY --chown=airflow:root scripts /tmp/relay-jobs/scripts

# Without build isolation: pip would take the newest hatchling instead of the pinned one.
RUN cd /tmp/relay-jobs \
 && pip install --no-cache-dir --constraint requirements.txt hatchling \
 && pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /tmp/wheels .


FROM apache/airflow:slim-3.3.2-python3.11

LABEL org.opencontainers.image.title="relay-jobs-airflow" \
      org.opencontainers.image.description="Airflow with the Relay Jobs migration, its HTTP API and its metrics" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="0.1.0"

COPY --from=wheel /tmp/wheels /tmp/wheels
COPY requirements.txt /tmp/wheels/

# Airflow is named again, so that no dependency of ours can move it; the pins are those that the tests ran with.
RUN umask 0002 \
 && pip install --no-cache-dir --constraint /tmp/wheels/requirements.txt \
      "apache-airflow==${AIRFLOW_VERSION}" "$(echo /tmp/wheels/*.whl)[image]" \
 && pip check

# Of root: what runs here cannot change its own code.
COPY config/pools.json /opt/airflow/config/pools.json
COPY plugins /opt/airflow/plugins
COPY dags /opt/airflow/dags

# A named volume takes its owner from the folder that it covers.
RUN umask 0002 && mkdir -p /opt/airflow/auth /opt/airflow/logs

# No HEALTHCHECK: one image serves many commands, and docker-compose.yaml has a check for each.
USER airflow

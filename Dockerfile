FROM apache/airflow:3.3.2-python3.12

COPY --chown=airflow:root pyproject.toml README.md LICENSE requirements.txt /opt/relay-jobs/
COPY --chown=airflow:root relay_jobs /opt/relay-jobs/relay_jobs
COPY --chown=airflow:root scripts /opt/relay-jobs/scripts

# Airflow is named again, so that no dependency of ours can move it; the pins are those that the tests ran with.
RUN cd /opt/relay-jobs \
 && pip install --no-cache-dir --constraint requirements.txt "apache-airflow==${AIRFLOW_VERSION}" ".[image]"

COPY --chown=airflow:root config/pools.json /opt/airflow/config/pools.json
COPY --chown=airflow:root plugins /opt/airflow/plugins
COPY --chown=airflow:root dags /opt/airflow/dags

# A named volume takes its owner from the folder that it covers.
RUN mkdir -p /opt/airflow/auth /opt/airflow/logs

# fluent-plugin-amp as a container: no root, no build tools, read-only root file system.
#
#   docker build -t fluent-plugin-amp .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges \
#     -v ./config.yml:/etc/fluent-plugin-amp/config.yml:ro -v amp-state:/var/lib/fluent-plugin-amp fluent-plugin-amp
#
# In the configuration: `state: {path: /var/lib/fluent-plugin-amp/state.db}`.  The log goes to standard error.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# EXTRAS=[demo] adds what the examples need: certificates for a broker and a receiver of their own.
ARG EXTRAS=
WORKDIR /src
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY conf conf
COPY examples examples
COPY fluent_plugin_amp fluent_plugin_amp
RUN python -m venv /opt/fluent-plugin-amp \
 && /opt/fluent-plugin-amp/bin/pip install --no-cache-dir --disable-pip-version-check ".${EXTRAS}" \
 && /opt/fluent-plugin-amp/bin/pip uninstall --yes --quiet pip

FROM ${PYTHON_IMAGE}
# A number, so that Kubernetes can see that it is not root.
ARG UID=10001
RUN mkdir -p /etc/fluent-plugin-amp \
 && install -d -o ${UID} -g ${UID} -m 0700 /var/lib/fluent-plugin-amp
COPY --from=build /opt/fluent-plugin-amp /opt/fluent-plugin-amp
ENV PATH=/opt/fluent-plugin-amp/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER ${UID}:${UID}
WORKDIR /var/lib/fluent-plugin-amp
VOLUME /var/lib/fluent-plugin-amp
# Does the loop turn?  Brokers and servers that are away are no reason to restart: the plugin tries again by itself.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:24280/healthz', timeout=4)"]
# More than forward.shutdown_timeout must pass between SIGTERM and SIGKILL: docker stop --time 30.
STOPSIGNAL SIGTERM
ENTRYPOINT ["fluent-plugin-amp"]
CMD ["run", "-c", "/etc/fluent-plugin-amp/config.yml"]

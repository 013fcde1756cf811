# fluent-plugin-amp as a container: no root, no build tools, read-only root file system.
#
#   docker build -t fluent-plugin-amp:0.1.0 .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges \
#     -v ./config.yml:/etc/fluent-plugin-amp/config.yml:ro -v amp-state:/var/lib/fluent-plugin-amp fluent-plugin-amp:0.1.0
#
# In the configuration: `state: {path: /var/lib/fluent-plugin-amp/state.db}`.  The log goes to standard error.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm
# The time of every file in the image, so that two builds from the same sources give the same layers.
ARG SOURCE_DATE_EPOCH=1767225600

FROM ${PYTHON_IMAGE} AS build
# EXTRAS=[demo] adds what the examples need: certificates for a broker and a receiver of their own.
ARG EXTRAS=
# A number, so that Kubernetes can see that it is not root.
ARG UID=10001
ARG SOURCE_DATE_EPOCH
# A fixed seed: the order of a set in compiled code follows it.
ENV PYTHONHASHSEED=0
WORKDIR /src
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY conf conf
COPY examples examples
COPY fluent_plugin_amp fluent_plugin_amp
RUN python -m venv /opt/fluent-plugin-amp \
 && /opt/fluent-plugin-amp/bin/pip install --no-cache-dir --no-compile --disable-pip-version-check ".${EXTRAS}" \
 && /opt/fluent-plugin-amp/bin/pip uninstall --yes --quiet pip \
 && find /opt/fluent-plugin-amp -name __pycache__ -prune -exec rm -r {} + \
 && python -m compileall -q --invalidation-mode unchecked-hash /opt/fluent-plugin-amp \
 && mkdir -p /image/opt /image/etc/fluent-plugin-amp /image/var/lib \
 && install -d -o ${UID} -g ${UID} -m 0700 /image/var/lib/fluent-plugin-amp \
 && mv /opt/fluent-plugin-amp /image/opt/ \
 && find /image -exec touch -hd @${SOURCE_DATE_EPOCH} {} +

# `make sbom`: what the image's environment is made of.
FROM build AS inventory
RUN python -m venv /inventory \
 && /inventory/bin/pip install --no-cache-dir --disable-pip-version-check "cyclonedx-bom >= 7, < 8" \
 && /inventory/bin/cyclonedx-py environment --output-reproducible --mc-type application \
    --output-file /fluent-plugin-amp.cdx.json /image/opt/fluent-plugin-amp

FROM scratch AS sbom
COPY --from=inventory /fluent-plugin-amp.cdx.json /

FROM ${PYTHON_IMAGE}
ARG UID=10001
ARG SOURCE_DATE_EPOCH
RUN --mount=type=bind,from=build,source=/image,target=/mnt \
    cp -a /mnt/. / && touch -d @${SOURCE_DATE_EPOCH} / /opt /etc /var /var/lib
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
# The commit, given by who builds: --build-arg REVISION=$(git rev-parse HEAD)
ARG REVISION=
LABEL org.opencontainers.image.title="fluent-plugin-amp" \
      org.opencontainers.image.description="Cisco AMP for Endpoints (Secure Endpoint) event streams into Fluentd and Fluent Bit, acknowledged end to end" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"

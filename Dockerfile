# Everything that is installed comes from the hashed lock; the project itself is built without an index.
FROM python:3.11-slim AS build
WORKDIR /src
# With --build-arg EXTRA=tracing it can send spans; the other lock is the same one and what that needs.
ARG EXTRA=
COPY requirements.lock requirements-tracing.lock ./
RUN python -m venv --without-pip /venv \
 && python -m pip --python /venv/bin/python install --no-cache-dir --no-compile --no-deps --require-hashes --only-binary :all: -r "requirements${EXTRA:+-$EXTRA}.lock"
COPY pyproject.toml README.md ./
COPY gateway ./gateway
# What builds the project does not stay to run it; pip was never in there. A layer keeps whole seconds only, so byte code
# that goes by the time of its source would be found old and made anew at every start.
RUN python -m pip --python /venv/bin/python install --no-cache-dir --no-compile --no-index --no-deps --no-build-isolation . \
 && python -m pip --python /venv/bin/python uninstall --yes flit-core \
 && /venv/bin/python -m compileall -q -f --invalidation-mode unchecked-hash /venv/lib \
 && install -d -m 0700 /data

FROM python:3.11-slim
ARG REVISION=unknown
LABEL org.opencontainers.image.title="redaction-gateway" \
      org.opencontainers.image.description="One REST call that keeps a spoken card number out of every call recording, and proves it." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /venv /venv
COPY --from=build --chown=65532:65532 /data /data
# Nothing but /data is ever written: the root file system may be read-only.
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    GATEWAY_CONFIG=/etc/gateway/gateway.yaml
# "./data", the default of store.directory, is /data from here.
WORKDIR /
VOLUME ["/data"]
# A number: a cluster can then see that it is not root.
USER 65532:65532
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
# For a listen.admin_port other than 9090 give the container a check of its own.
HEALTHCHECK --interval=10s --timeout=3s --start-period=40s \
    CMD ["python", "-c", "import http.client, sys; admin = http.client.HTTPConnection('127.0.0.1', 9090, timeout=2); admin.request('GET', '/livez'); sys.exit(admin.getresponse().status != 200)"]
ENTRYPOINT ["redaction-gateway"]
CMD ["serve"]

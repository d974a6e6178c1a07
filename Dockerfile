# syntax=docker/dockerfile:1
# The worker. Build: docker build -t chatflow-imagegen .
# With the check of pictures for nudity: --build-arg EXTRA=image-screen; with traces: EXTRA=otel
# Another base, or this one by its digest: --build-arg BASE=python@sha256:…
ARG BASE=python:3.13-slim-trixie

# All packages but ours. Without our sources, so that a change of them does not install these anew.
FROM ${BASE} AS packages
ARG EXTRA=worker
RUN pip install --no-cache-dir --root-user-action=ignore uv==0.13.9
WORKDIR /source
COPY pyproject.toml requirements.lock ./
# The lock constrains what is installed and what builds the project, so every hash is checked;
# what the worker does not need of it stays out.
RUN python -m venv --without-pip /opt/venv \
    && uv pip install --python /opt/venv/bin/python --no-cache --compile-bytecode \
        -c requirements.lock -r pyproject.toml --extra "$EXTRA"

FROM packages AS wheel
COPY . .
RUN uv build --wheel --no-cache --build-constraints requirements.lock --out-dir /dist

FROM ${BASE}
LABEL org.opencontainers.image.title="chatflow-imagegen" \
    org.opencontainers.image.description="Pictures in the middle of a Telegram conversation, drawn by a fleet of ComfyUI hosts." \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="MIT"
# An id that no account of the host has.
RUN groupadd --system --gid 10001 imagegen \
    && useradd --system --uid 10001 --gid 10001 --create-home imagegen \
    && install -d -m 0700 -o 10001 -g 10001 /var/lib/chatflow-imagegen/images
# The large layer, which stays as it is until the lock changes; ours is the small one on top of it.
COPY --from=packages /opt/venv /opt/venv
RUN --mount=type=bind,from=wheel,source=/dist,target=/dist \
    pip --python /opt/venv/bin/python install --no-cache-dir --no-index --no-deps \
        --root-user-action=ignore /dist/*.whl
# Probes come from outside of the container.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 WEB_HOST=0.0.0.0
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /home/imagegen
VOLUME /var/lib/chatflow-imagegen/images
EXPOSE 8080
# Whether it lives: an outage of something else is no reason to start it anew. It asks what
# `imagegen probe` asks, by bash: to start Python every 15 s would cost more than an idle worker.
HEALTHCHECK --interval=15s --timeout=10s --start-period=30s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${WEB_PORT:-8080} && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]
# It gives running pictures STOP_GRACE to end, 30 s if left out: docker stop --time 40
STOPSIGNAL SIGTERM
CMD ["imagegen", "worker"]

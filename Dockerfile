# The worker. Build: docker build -t chatflow-imagegen .
# With the check of pictures for nudity: docker build --build-arg EXTRA=image-screen -t chatflow-imagegen .
FROM python:3.13-slim AS build

ARG EXTRA=worker
RUN pip install --no-cache-dir --root-user-action=ignore uv==0.13.9
WORKDIR /source
COPY . .
# The lock constrains what is installed and what builds the project, so every hash is checked;
# what the worker does not need of it stays out.
RUN python -m venv --without-pip /opt/venv \
    && uv pip install --python /opt/venv/bin/python --no-cache --compile-bytecode \
        -c requirements.lock -b requirements.lock ".[$EXTRA]"


FROM python:3.13-slim

# An id that no account of the host has.
RUN useradd --system --uid 10001 --create-home imagegen \
    && install -d -m 0700 -o imagegen -g imagegen /var/lib/chatflow-imagegen/images
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
USER imagegen
WORKDIR /home/imagegen
VOLUME /var/lib/chatflow-imagegen/images

# Probes come from outside of the container.
ENV WEB_HOST=0.0.0.0
EXPOSE 8080
# Whether it lives: an outage of something else is no reason to start it anew.
HEALTHCHECK --interval=15s --timeout=10s --start-period=30s --retries=3 \
    CMD ["imagegen", "probe"]
# It gives running pictures STOP_GRACE to end, 30 s if left out: docker stop --time 40
STOPSIGNAL SIGTERM
CMD ["imagegen", "worker"]

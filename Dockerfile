# The gateway and the replicas of a pool run from one image, the target `cpu` (the last, and so the
# default). The target `gpu` has the engines of models too. Python is that of the lock.
#     buildah build --target cpu -t rewardplane:0.1.0 .
#     buildah build --target gpu -t rewardplane:0.1.0-gpu .
FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/rewardplane
ENV PATH=/opt/rewardplane/bin:$PATH
WORKDIR /src
# What is needed comes before the code, so that a change of code does not install it again.
COPY requirements.hashed.lock ./
RUN pip install --require-hashes -r requirements.hashed.lock
COPY . .
RUN pip install --no-deps .

# The engines. Not by hash, and vLLM has its own say about some of what the lock names.
FROM build AS build-gpu
ARG ENGINES=judge,vllm
RUN pip install ".[$ENGINES]"

# What is installed, as CycloneDX JSON, and no installer: nothing is installed at run time.
FROM build AS packed
RUN python -m venv /opt/sbom \
    && /opt/sbom/bin/pip install -r .ci/supply.txt \
    && /opt/sbom/bin/cyclonedx-py environment --output-reproducible --of JSON \
        -o /opt/rewardplane/sbom.cdx.json /opt/rewardplane/bin/python \
    && pip uninstall -y pip setuptools

FROM build-gpu AS packed-gpu
RUN python -m venv /opt/sbom \
    && /opt/sbom/bin/pip install -r .ci/supply.txt \
    && /opt/sbom/bin/cyclonedx-py environment --output-reproducible --of JSON \
        -o /opt/rewardplane/sbom.cdx.json /opt/rewardplane/bin/python \
    && pip uninstall -y pip

FROM python:3.11-slim-bookworm AS base
# COMPILERS: for `code_tests` with programs in C++ and C, `--build-arg COMPILERS=g++`.
ARG COMPILERS=""
# tini ends the orphans of a replica that was killed. Debian keeps one version of it in a release.
# hadolint ignore=DL3008,SC2086
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini $COMPILERS \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home --shell /bin/bash rewardplane
# HOME is where Ray writes its token. With a read-only root only /tmp can be written.
ENV PATH=/opt/rewardplane/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    RAY_USAGE_STATS_ENABLED=0
USER 1000
WORKDIR /home/rewardplane
EXPOSE 50051 9464
ENTRYPOINT ["tini", "--", "rewardplane"]
# In a container 0.0.0.0 is what `docker run -p` can reach. It wants an access file;
# `… --insecure` in its place lets everybody in who reaches the published port.
CMD ["serve", "/etc/rewardplane/rewards.yaml", "--host", "0.0.0.0", "--address", "local", "--access", "/etc/rewardplane-access/access.yaml"]
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rewardplane" \
      org.opencontainers.image.description="A reward service for RL fine-tuning of language models" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim-bookworm" \
      rewardplane.sbom="/opt/rewardplane/sbom.cdx.json"

FROM base AS gpu
COPY --from=packed-gpu /opt/rewardplane /opt/rewardplane

FROM base AS cpu
COPY --from=packed /opt/rewardplane /opt/rewardplane

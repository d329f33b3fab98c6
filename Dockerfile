# The gateway and the replicas of the pool run from this one image. Python is that of the lock.
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

FROM python:3.11-slim-bookworm
# tini ends the orphans of a replica that was killed. Debian keeps one version of it in a release.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home --shell /bin/bash rewardplane
COPY --from=build /opt/rewardplane /opt/rewardplane
ENV PATH=/opt/rewardplane/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RAY_USAGE_STATS_ENABLED=0
USER 1000
WORKDIR /home/rewardplane
EXPOSE 50051 9464
ENTRYPOINT ["tini", "--", "rewardplane"]
# In a container 0.0.0.0 is what `docker run -p` can reach. It wants an access file;
# `… --insecure` in its place lets everybody in who reaches the published port.
CMD ["serve", "/etc/rewardplane/rewards.yaml", "--host", "0.0.0.0", "--address", "local", "--access", "/etc/rewardplane-access/access.yaml"]

# Two images of one build: `--target api` is zenskar-backend-api, `--target worker` is
# zenskar-backend-worker. They differ in what they run only.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /src
COPY constraints.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check -c constraints.txt uv
RUN uv venv /opt/zenskar
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY core core
COPY schemas schemas
COPY migrations migrations
COPY plugins/salesforce plugins/salesforce
COPY plugins/stripe plugins/stripe
COPY plugins/template plugins/template
RUN uv pip install --no-cache --compile-bytecode --python /opt/zenskar/bin/python -c constraints.txt ".[otel,sentry]" ./plugins/salesforce ./plugins/stripe

FROM python:${PYTHON}-slim AS base
RUN groupadd --system --gid 10001 zenskar \
    && useradd --system --uid 10001 --gid zenskar --no-create-home --home-dir /tmp zenskar
COPY --from=build /opt/zenskar /opt/zenskar
ENV PATH=/opt/zenskar/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ZENSKAR_HOST=0.0.0.0
WORKDIR /tmp
USER 10001:10001
STOPSIGNAL SIGTERM

FROM base AS worker
EXPOSE 8001
CMD ["zenskar", "worker"]

FROM base AS api
EXPOSE 8000
CMD ["zenskar", "api"]

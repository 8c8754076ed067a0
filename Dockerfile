# One image for the worker, the web and the migrations; the command tells which.
# requirements.lock covers the tests too, so it serves as hash-checked constraints here: pyproject.toml says what the
# product needs, and nothing else comes in.
FROM python:3.11.15-slim-bookworm AS build
WORKDIR /app
COPY requirements.lock pyproject.toml ./
RUN python -m venv /opt/venv \
    && sed -n '/^uv==/,/^    # via/p' requirements.lock > /tmp/uv.txt \
    && pip install --no-cache-dir --require-hashes -r /tmp/uv.txt
RUN uv pip install --no-cache --python /opt/venv/bin/python --require-hashes --constraints requirements.lock -r pyproject.toml \
    && uv pip install --no-cache --python /opt/venv/bin/python --no-deps --build-constraints requirements.lock --editable .

FROM python:3.11.15-slim-bookworm
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --system --uid 10001 --create-home hermod
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY pyproject.toml worker.py ./
COPY activities activities
COPY hermod hermod
COPY migrations migrations
COPY starter starter
COPY web web
COPY workflows workflows
USER hermod
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ.get('HERMOD_WORKER_PORT', '9090')}/health\", timeout=4)"]
CMD ["python", "worker.py"]

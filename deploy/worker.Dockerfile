FROM python:3.12-slim
WORKDIR /opt/inferq
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY inferq inferq
COPY gateway gateway
COPY worker worker
COPY shared shared
# The cache is made here so that a volume on it belongs to the user who writes there.
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
    && useradd --create-home inferq \
    && install --directory --owner=inferq /home/inferq/.cache /home/inferq/.cache/inferq
USER inferq
WORKDIR /home/inferq
ENTRYPOINT ["inferq", "worker"]
CMD ["smollm2"]

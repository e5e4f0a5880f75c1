FROM python:3.12-slim
WORKDIR /opt/inferq
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY inferq inferq
COPY gateway gateway
COPY worker worker
COPY shared shared
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
    && useradd --create-home inferq
USER inferq
WORKDIR /home/inferq
ENV INFERQ_HOST=0.0.0.0
EXPOSE 8000
ENTRYPOINT ["inferq", "gateway"]

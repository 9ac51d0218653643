# xcodec serve on CPUs: docker build -t xcodec --build-arg TORCH_INDEX=URL . && docker run --rm -p 127.0.0.1:8000:8000 -e XCODEC_API_KEY=secret xcodec
# The command line: docker run --rm -v "$PWD:/data" -w /data --entrypoint xcodec xcodec encode a.wav -o codes/
FROM python:3.12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
# PyTorch's page names the index of a torch without CUDA, which is a tenth of the size.
ARG TORCH_INDEX=
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
WORKDIR /source
COPY pyproject.toml setup.py README.md LICENSE ./
COPY src src
RUN /venv/bin/pip install --no-cache-dir '.[serve,formats]'

FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends espeak-ng libgomp1 && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 xcodec \
    && install --directory --owner xcodec /models /voices
COPY --from=build /venv /venv
USER xcodec
# What glibc returns to the system at once would be asked for again a moment later.
ENV PATH=/venv/bin:$PATH HF_HOME=/models PYTHONUNBUFFERED=1 \
    MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=17179869184
VOLUME ["/models", "/voices"]
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD \
    ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health')"]
ENTRYPOINT ["xcodec", "serve", "--host", "0.0.0.0", "--voices", "/voices"]

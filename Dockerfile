# The server with ONNX Runtime and the shipped models; docs/docker.md tells how to run it. VARIANT=cuda is for NVIDIA's GPUs, with
# CUDA's libraries (docs/gpu.md).

FROM rust:1.95-slim-bookworm AS builder
# a C compiler, and nasm for the JPEG decoder's vector code; Python and pip fetch ONNX Runtime
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev make nasm python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build

# the dependencies by themselves: built again only when a manifest changes
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
COPY ops/Cargo.toml ops/
COPY ops/shared/Cargo.toml ops/shared/
RUN mkdir -p src ops/src ops/shared/src ops/benches benches/faces benches/networks benches/serving \
    && echo 'fn main() {}' | tee build.rs src/main.rs benches/preprocess.rs benches/suppression.rs \
        benches/faces/main.rs benches/networks/main.rs benches/serving/main.rs ops/benches/channel_equilibrium.rs \
        ops/benches/convolutions.rs \
    && touch src/lib.rs ops/src/lib.rs ops/shared/src/lib.rs \
    && cargo build --release --locked --bin cenet-serve

COPY build.rs ./
COPY assets assets
COPY proto proto
COPY ops ops
COPY benches benches
COPY src src
# newer than what was built of the empty ones
RUN touch build.rs src/lib.rs src/main.rs ops/src/lib.rs \
    && cargo build --release --locked --bin cenet-serve

ARG VARIANT=cpu
COPY scripts/fetch_onnxruntime.py scripts/onnxruntime.txt scripts/onnxruntime-gpu.txt scripts/cuda.txt scripts/nvrtc.txt scripts/
RUN python3 scripts/fetch_onnxruntime.py --variant "$VARIANT" runtime \
    && install -d /libraries/usr/local/lib \
    && mv runtime/lib* /libraries/usr/local/lib/ \
    && install -D -m 644 -t /libraries/usr/share/doc/cenet-serve/onnxruntime runtime/LICENSE* runtime/ThirdPartyNotices.txt

COPY scripts/crate_licenses.sh scripts/
COPY LICENSE ./
COPY models /image/models
RUN install -D -t /image/usr/local/bin target/release/cenet-serve \
    && install -D -m 644 -t /image/usr/share/doc/cenet-serve LICENSE \
    && scripts/crate_licenses.sh > /image/usr/share/doc/cenet-serve/crates.txt \
    && chmod -R a+rX /image

FROM debian:bookworm-slim
COPY --from=builder /libraries /
# CUDA's libraries open each other by names that the loader has to know
RUN ldconfig
COPY --from=builder /image /
ENV CENET_HTTP_ADDR=0.0.0.0:8000 \
    CENET_GRPC_ADDR=0.0.0.0:8001 \
    CENET_MODEL_REPOSITORY=/models \
    ORT_DYLIB_PATH=/usr/local/lib/libonnxruntime.so \
    ORT_DISABLE_TELEMETRY=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
EXPOSE 8000 8001
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s CMD ["/usr/local/bin/cenet-serve", "health"]
ENTRYPOINT ["/usr/local/bin/cenet-serve"]
CMD ["serve"]

ARG REVISION=unknown
LABEL org.opencontainers.image.title="cenet-serve" \
    org.opencontainers.image.description="Serves Channel Equilibrium networks, and any other ONNX image model, over HTTP and gRPC" \
    org.opencontainers.image.source="https://github.com/cenet-serve/cenet-serve" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.revision="$REVISION"

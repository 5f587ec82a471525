# syntax=docker/dockerfile:1

# Built with the toolchain's own C compiler; no protoc is needed.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked \
    && install -D target/release/keyward /out/usr/local/bin/keyward \
    && install -d -m 0700 /out/var/lib/keyward

# glibc and nothing else: no shell, no package manager. 65532 is the image's `nonroot`.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/usr/local/bin/keyward /usr/local/bin/keyward
COPY --from=build --chown=65532:65532 /out/var/lib/keyward /var/lib/keyward

# A container's loopback reaches nobody: listen on all of its addresses, and publish only what is wanted.
ENV KEYWARD_DATA_DIR=/var/lib/keyward \
    KEYWARD_LISTEN=0.0.0.0:50051 \
    KEYWARD_SIDE_LISTEN=0.0.0.0:9090 \
    KEYWARD_LOG_FORMAT=json

USER 65532:65532
VOLUME /var/lib/keyward
# gRPC; health in plaintext.
EXPOSE 50051 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/keyward", "health", "--server", "127.0.0.1:9090", "--timeout", "3s"]
ENTRYPOINT ["/usr/local/bin/keyward"]
CMD ["serve"]

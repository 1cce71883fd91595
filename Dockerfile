# syntax=docker/dockerfile:1

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
# As in the Makefile.
ENV CGO_ENABLED=1 \
    CGO_CFLAGS="-O2 -g -DSQLITE_DEFAULT_LOOKASIDE=0,0 -DSQLITE_DEFAULT_PCACHE_INITSZ=0"
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go build -trimpath -o /out/holdfast ./starter && \
    go build -trimpath -o /out/holdfast-worker ./worker

FROM debian:bookworm-slim AS worker
RUN apt-get update && \
    apt-get install --yes --no-install-recommends ca-certificates && \
    rm -rf /var/lib/apt/lists/*
# New volumes take over the owner of the directories that they cover.
RUN useradd --uid 10001 --create-home holdfast && \
    install --directory --owner=holdfast --group=holdfast /data /var/lib/holdfast
COPY --from=build /out/holdfast /out/holdfast-worker /usr/local/bin/
USER 10001:10001
WORKDIR /data
ENTRYPOINT ["holdfast-worker"]

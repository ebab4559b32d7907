# spoton in a container: docker build -t spoton . (or podman, buildah); `--target nvidia` for NVIDIA GPUs.
# docs/INSTALL.md has the volumes and settings, compose.yaml a whole site.
#
# `packages` can be replaced by packages that exist already: --build-context packages=out/deb
ARG BASE=debian:12-slim

# --- the program, as Debian packages ---------------------------------------------------------------
FROM ${BASE} AS build
WORKDIR /src
COPY . .
RUN ./setup build package \
    && tools/build build -Dopenvino=enabled -Dtests=false \
    && SPOTON_DEB_OPTIONS=-Znone tools/deb build /packages

FROM scratch AS packages
COPY --from=build /packages /

# --- what runs -------------------------------------------------------------------------------------
FROM ${BASE} AS program
# yes: with FFmpeg's library of video devices (/dev/video0), which brings 87 packages.
ARG DEVICES=no
# Nothing in the program draws by OpenGL, so Mesa's compiler and drivers stay out: 110 MB, which that library's
# dependencies would bring. Licences stay.
RUN printf 'path-exclude=%s\n' '/usr/lib/*/libLLVM*' '/usr/lib/*/dri/*' '/usr/share/man/*' '/usr/share/locale/*' \
        '/usr/share/icons/*' '/usr/share/doc/*/examples/*' '/usr/share/doc/spoton/docs/*' >/etc/dpkg/dpkg.cfg.d/spoton \
    && groupadd --system --gid 999 spoton \
    && useradd --system --uid 999 --gid spoton --no-create-home --home-dir /data spoton
COPY --from=packages / /tmp/packages/
# What the package recommends are the libraries of the outputs, of PostgreSQL and of video devices.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends /tmp/packages/spoton_*.deb \
        $(dpkg-deb -f /tmp/packages/spoton_*.deb Recommends | sed 's/([^)]*)//g; s/,/ /g' \
            | if [ "$DEVICES" = yes ]; then cat; else sed 's/libavdevice[0-9]*//'; fi) \
    && rm -rf /tmp/packages /var/lib/apt/lists/* /var/cache/apt/* /var/cache/spoton /var/cache/ldconfig /var/log/* \
    && install -d -o spoton -g spoton -m 755 /config /data /data/cache
COPY contrib/container/healthcheck /usr/local/bin/

# --- the list of its parts and their licences ------------------------------------------------------
FROM ${BASE} AS contents
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3
COPY --from=program /var/lib/dpkg /image/var/lib/dpkg
COPY --from=program /usr/share/doc /image/usr/share/doc
COPY tools/sbom tools/requirements.txt /tools/
RUN mkdir /contents && python3 /tools/sbom /image /contents

FROM program AS spoton
COPY --from=contents /contents /usr/share/spoton/contents
# Relative paths of settings are below /config, which has spoton.yaml or .env. Addresses other than loopback require API_TOKEN.
ENV HTTP_HOST=0.0.0.0 HTTP_PORT=3847 XDG_CACHE_HOME=/data/cache
WORKDIR /config
VOLUME ["/config", "/data"]
USER spoton
EXPOSE 3847
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["healthcheck"]
ENTRYPOINT ["spoton"]
CMD ["serve"]

# --- NVIDIA GPUs: the engine and its runtime (3 GB); the driver's libraries come with the container toolkit ---
FROM build AS build-nvidia
RUN ./setup build package cuda \
    && tools/build build -Dopenvino=enabled -Dcuda=enabled -Dtests=false \
    && SPOTON_DEB_OPTIONS=-Znone tools/deb build /packages \
    && .venv/bin/python -m pip install --no-deps --require-hashes --only-binary=:all: --target /gpu -r tools/requirements-gpu.txt

FROM spoton AS nvidia
USER root
COPY --from=build-nvidia /packages/spoton-cuda_*.deb /tmp/
RUN dpkg -i /tmp/spoton-cuda_*.deb && rm /tmp/spoton-cuda_*.deb
COPY --from=build-nvidia /gpu /usr/lib/spoton/gpu
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,video,utility
USER spoton

# The default.
FROM spoton

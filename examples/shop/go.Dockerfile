# The one Dockerfile of all Go programs of the shop. PACKAGE says which program,
# the stage says what it becomes: a bare tool, or a service on the base image.
#
# Sources are mounted, not copied, so the build stage has no layer but the
# program. The compiler's cache starts from what the toolchain image has in it.
FROM toolchain AS build
ARG PACKAGE
WORKDIR /src/${PACKAGE}
RUN --mount=type=bind,source=go.mod,target=/src/go.mod \
    --mount=type=bind,source=lib,target=/src/lib \
    --mount=type=bind,source=${PACKAGE},target=/src/${PACKAGE} \
    --mount=type=cache,id=shop-go,from=toolchain,source=/go/cache,target=/go/cache \
    --mount=type=tmpfs,target=/tmp \
    ["go", "build", "-o", "/out/program", "."]

FROM scratch AS tool
COPY --from=build /out/program /program
ENTRYPOINT ["/program"]

FROM base AS service
COPY --from=build /out/program /bin/service
ARG PORT
ENV ADDR=:${PORT}
EXPOSE ${PORT}
ENTRYPOINT ["/bin/service"]

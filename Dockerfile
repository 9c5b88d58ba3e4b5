# The gateway as an image: built from this checkout, run as a user without rights on a file system that need not be writable but for /data.
#   docker build -t mcp-valet .
#   docker run --read-only --tmpfs /tmp -v valet:/data -p 127.0.0.1:8787:8787 mcp-valet
ARG NODE_IMAGE=node:24-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /src
RUN npm install --global pnpm@10.34.9
COPY . .
RUN pnpm install --frozen-lockfile --filter "@mcp-valet/server..." --filter "@mcp-valet/dashboard..." --filter mcp-valet \
 && pnpm --filter "@mcp-valet/server..." --filter "@mcp-valet/dashboard..." build \
 && pnpm --filter @mcp-valet/server deploy --prod --legacy /app

FROM ${NODE_IMAGE}
# tini reaps the grandchildren of stdio servers; bubblewrap confines them where the container may make namespaces; flock comes with the base.
RUN apt-get update \
 && apt-get install -y --no-install-recommends tini bubblewrap \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o 1000 -g 1000 -m 0700 /data
COPY --from=build /app /app
WORKDIR /app
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8787 DATABASE_URL=pglite:/data/db
# A number, so that an orchestrator can see that it is not root.
USER 1000:1000
VOLUME /data
EXPOSE 8787
# The gateway answers to its own host names only, so the probe carries the public one.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["node", "bin/health.js"]
ENTRYPOINT ["tini", "--", "node", "bin/mcp-valet.js"]
CMD ["serve"]

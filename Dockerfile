# The program is in /opt/postern; what belongs to you is in /postern: config, certs, secrets and data, mounted.
FROM node:26-slim AS build
WORKDIR /opt/postern
COPY package.json package-lock.json ./
# Without install scripts: the image brings its own Node.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run build && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:26-slim
ENV NODE_ENV=production
WORKDIR /postern
COPY --from=build /opt/postern/package.json /opt/postern/package.json
COPY --from=build /opt/postern/node_modules /opt/postern/node_modules
COPY --from=build /opt/postern/dist /opt/postern/dist
COPY config/senders /opt/postern/config/senders
# All of them are there from the start: Node lets nothing be read in a folder that comes later.
RUN mkdir -p /postern/config /postern/certs /postern/secrets /postern/data && chown node:node /postern/data
USER node
EXPOSE 8443
VOLUME ["/postern/data"]
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
  CMD ["node", "--permission", "--allow-net", "--disable-warning=ExperimentalWarning", "-e", "fetch('http://127.0.0.1:9901/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Node itself is process 1, so that SIGTERM reaches it and the gateway drains. Whatever code runs in it reads the program
# and what is mounted, writes to data, and starts no process, no addon, and no worker: a worker takes flags of its own.
# The three files of /proc are what /metrics tells of the process.
ENTRYPOINT ["node", "--permission", "--allow-net", "--disable-warning=ExperimentalWarning", \
  "--allow-fs-read=/opt/postern", "--allow-fs-read=/postern/config", "--allow-fs-read=/postern/certs", \
  "--allow-fs-read=/postern/secrets", "--allow-fs-read=/postern/data", "--allow-fs-write=/postern/data", \
  "--allow-fs-read=/proc/self/status", "--allow-fs-read=/proc/self/limits", "--allow-fs-read=/proc/self/fd", \
  "/opt/postern/dist/main.js"]
CMD ["start", "--config", "/postern/config/postern.yaml"]

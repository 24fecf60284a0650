/** A sender profile with a short deadline, to be laid beside a configuration as `senders/quick.yaml`. */
export const QUICK_SENDER = `title: Quick
documentation: https://example.com
methods: [POST]
client_certificate: true
signature: { scheme: standard-webhooks, headers: webhook }
deadline: 3s
retries: { statuses: not-2xx, schedule: [5s] }
redirects: failed
event: { type: [eventType] }
client_header: x-client
`;

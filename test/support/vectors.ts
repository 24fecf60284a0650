/**
 * What senders, their libraries and the RFCs publish as examples: figures, each with its source. A body is cut at a line's
 * length here and is one text.
 */

/** https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries, "Testing the webhook payload validation". */
export const github = {
  secret: "It's a Secret to Everybody",
  body: 'Hello, World!',
  signature: 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17',
};

/** stripe/stripe-dotnet, EventUtilityTest.cs and event_test_signature.json. */
export const stripe = {
  secret: 'webhook_secret',
  epochS: 1_533_204_620,
  body: `${JSON.stringify(
    {
      id: 'evt_123',
      object: 'event',
      account: 'acct_123',
      api_version: '2017-05-25',
      created: 1533204620,
      data: {
        object: {
          id: 'cus_123',
          object: 'customer',
          created: 123456789,
          email: 'test@stripe.com',
          livemode: false,
          metadata: {},
        },
      },
      livemode: false,
      pending_webhooks: 1,
      request: { id: 'req_123', idempotency_key: 'idempotency-key-123' },
      type: 'customer.created',
    },
    undefined,
    2,
  )}\n`,
  signature: [
    't=1533204620',
    'v1=2220f87ef101a04665f11cdf770523143f875572008577fa0f20882ddb9cc3c7',
    'v0=63f3a72374a733066c4be69ed7f8e5ac85c22c9f0a6a612ab9a025a9e4ee7eef',
  ].join(','),
};

/** https://docs.slack.dev/authentication/verifying-requests-from-slack, the worked example. */
export const slack = {
  secret: '8f742231b10e8888abcd99yyyzzz85a5',
  epochS: 1_531_420_618,
  body: [
    'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&ch',
    'annel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&respon',
    'se_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskX',
    'aIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c',
  ].join(''),
  signature: 'v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503',
};

/** PagerDuty/go-pagerduty, webhookv3 tests. */
export const pagerduty = {
  secret: 'lDQHScfUeXUKaQRNF+8XIiDKZ7XX3itBAYzwU0TARw8lJqRnkKl2iB1anSb0Z+IK',
  body: [
    '{"event":{"id":"01BWDWL3NYY7LUFPZCC28QUCMK","event_type":"incident.priority_updated","resource_t',
    'ype":"incident","occurred_at":"2021-04-26T17:36:27.458Z","agent":{"html_url":"https://acme.pager',
    'duty.com/users/PLH1HKV","id":"PLH1HKV","self":"https://api.pagerduty.com/users/PLH1HKV","summary',
    '":"Tenex Engineer","type":"user_reference"},"client":null,"data":{"id":"PGR0VU2","type":"inciden',
    't","self":"https://api.pagerduty.com/incidents/PGR0VU2","html_url":"https://acme.pagerduty.com/i',
    'ncidents/PGR0VU2","number":2,"status":"triggered","title":"A little bump in the road","service":',
    '{"html_url":"https://acme.pagerduty.com/services/PF9KMXH","id":"PF9KMXH","self":"https://api.pag',
    'erduty.com/services/PF9KMXH","summary":"API Service","type":"service_reference"},"assignees":[{"',
    'html_url":"https://acme.pagerduty.com/users/PTUXL6G","id":"PTUXL6G","self":"https://api.pagerdut',
    'y.com/users/PTUXL6G","summary":"User 123","type":"user_reference"}],"escalation_policy":{"html_u',
    'rl":"https://acme.pagerduty.com/escalation_policies/PUS0KTE","id":"PUS0KTE","self":"https://api.',
    'pagerduty.com/escalation_policies/PUS0KTE","summary":"Default","type":"escalation_policy_referen',
    'ce"},"teams":[{"html_url":"https://acme.pagerduty.com/teams/PFCVPS0","id":"PFCVPS0","self":"http',
    's://api.pagerduty.com/teams/PFCVPS0","summary":"Engineering","type":"team_reference"}],"priority',
    '":{"html_url":"https://acme.pagerduty.com/account/incident_priorities","id":"PSO75BM","self":"ht',
    'tps://api.pagerduty.com/priorities/PSO75BM","summary":"P1","type":"priority_reference"},"urgency',
    '":"high","conference_bridge":{"conference_number":1000,"conference_url":"https://example.com"},"',
    'resolve_reason":null}}}',
  ].join(''),
  signature: 'v1=0c0b9495b893a39e70d1fea2fe11fbe0a825f88b9f67846f6cc07dd2bc5476cd',
};

/** transferwise/digital-signatures-examples, webhook verification; the key is the one of Wise's sandbox. */
export const wise = {
  publicKey: `-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAwpb91cEYuyJNQepZAVfP
ZIlPZfNUefH+n6w9SW3fykqKu938cR7WadQv87oF2VuT+fDt7kqeRziTmPSUhqPU
ys/V2Q1rlfJuXbE+Gga37t7zwd0egQ+KyOEHQOpcTwKmtZ81ieGHynAQzsn1We3j
wt760MsCPJ7GMT141ByQM+yW1Bx+4SG3IGjXWyqOWrcXsxAvIXkpUD/jK/L958Cg
nZEgz0BSEh0QxYLITnW1lLokSx/dTianWPFEhMC9BgijempgNXHNfcVirg1lPSyg
z7KqoKUN0oHqWLr2U1A+7kqrl6O2nx3CKs1bj1hToT1+p4kcMoHXA7kA+VBLUpEs
VwIDAQAB
-----END PUBLIC KEY-----
`,
  body: [
    '{"data":{"resource":{"id":49983981,"profile_id":16055450,"account_id":14124090,"type":"transfer"',
    '},"current_state":"incoming_payment_waiting","previous_state":null,"occurred_at":"2021-08-23T10:',
    '12:50Z"},"subscription_id":"90aa8e14-4ef1-4a56-861c-f3c9cde097ea","event_type":"transfers#state-',
    'change","schema_version":"2.0.0","sent_at":"2021-08-23T10:12:50Z"}',
  ].join(''),
  signature: [
    'wKcKCYXAzxNgiu7xmoDm943NUni7Rz33QN8JkEA9dWSGebgndonabgSj18Y4C08OrwVmueGsED2s00M7DtJVcYKOS1i3G4TM',
    'Vx+mgM3aL9djMBkQtiYNBFUd6wrPI7ZUNHv/TrlKSjTMc+6JFvUvJ7owY3z85e3I4jLRLJowMFvO8kvCJ60+1pY9wDwZvtZ/',
    '/WS93LrwGjk9Dvwzpmu0w+P4J75tETT5qC3Uv0y5G2yO8SEoO3yNP/tg/BOli02niHb53vEOUWUb9bly6thnfMoXoiV/osoG',
    'xgF20R58RlvkAmezyyl1Sv542TfS2DpiwVnmjjjkCyXeSUcKookYLQ==',
  ].join(''),
};

/** Adyen/adyen-node-api-library, the HMAC tests of banking webhooks. */
export const adyen = {
  secret: 'D7DD5BA6146493707BF0BE7496F6404EC7A63616B7158EC927B9F54BB436765F',
  body: [
    '{"data":{"balancePlatform":"Integration_tools_test","accountId":"BA32272223222H5HVKTBK4MLB","swe',
    'ep":{"id":"SWPC42272223222H5HVKV6H8C64DP5","schedule":{"type":"balance"},"status":"active","targ',
    'etAmount":{"currency":"EUR","value":0},"triggerAmount":{"currency":"EUR","value":0},"type":"pull',
    '","counterparty":{"balanceAccountId":"BA3227C223222H5HVKT3H9WLC"},"currency":"EUR"}},"environmen',
    't":"test","type":"balancePlatform.balanceAccountSweep.updated"}',
  ].join(''),
  signature: '9Qz9S/0xpar1klkniKdshxpAhRKbiSAewPpWoxKefQA=',
};

const HASH = 'bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620';
const CALL =
  'CallSid=CA1234567890ABCDE&From=%2B14158675309&Digits=1234&To=%2B18005551212&Caller=%2B14158675309';
const JSON_BODY = '{"property": "value", "boolean": true}';

/** twilio/twilio-php and twilio/twilio-csharp, RequestValidatorTest. */
export const twilio = {
  secret: '12345',
  call: CALL,
  hashed: JSON_BODY,
  /** Where it was sent, its body, its signature. */
  requests: [
    ['mycompany.com/myapp.php?foo=1&bar=2', CALL, 'RSOYDt4T1cUTdK1PDd93/VVr8B8='],
    ['MyCompany.com/myapp.php?foo=1&bar=2', CALL, 'g9IN/x4Cft2g517EjYvEvM/W7LU='],
    ['MyCompany.com:1234/myapp.php?foo=1&bar=2', CALL, 'PCqOZm8cnu/L6+u5i5fuEd+Iac4='],
    ['mycompany.com:443/myapp.php?foo=1&bar=2', CALL, 'kvajT1Ptam85bY51eRf/AJRuM3w='],
    [
      'mycompany.com/myapp.php?foo=1&bar=2',
      'Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234',
      'IK+Dwps556ElfBT0I3Rgjkr1wJU=',
    ],
    [`mycompany.com/myapp.php?foo=1&bar=2&${HASH}`, JSON_BODY, 'a9nBmqA0ju/hNViExpshrM61xv4='],
    [`mycompany.com/myapp.php?${HASH}`, JSON_BODY, 'y77kIzt2vzLz71DgmJGsen2scGs='],
  ] as const,
};

/** RFC 4231 test case 2 (SHA-256, SHA-512) and RFC 2202 test case 2 (SHA-1): one key, one text. */
export const rfcHmac = {
  secret: 'Jefe',
  body: 'what do ya want for nothing?',
  sha1: 'effcdf6ae5eb2fa2d27416d5f184df9c259a7c79',
  sha256: '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  sha512: [
    '164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554',
    '9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737',
  ].join(''),
};

/** RFC 8032 section 7.1, test 2. */
export const rfcEd25519 = {
  publicKey: '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
  body: '72',
  signature: [
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da',
    '085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  ].join(''),
};

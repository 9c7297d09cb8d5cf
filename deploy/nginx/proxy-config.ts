// The nginx configuration that puts Sentinel behind a proxy: people without, heartbeats with a client certificate.
import { isIP } from 'node:net';
import { problems, type ProblemCode, TrustError } from '#contracts/problems.ts';

export interface ProxyOptions {
  readonly serverName: string;
  /** Certificate chain and key of the proxy, and the authorities of device certificates; absolute paths on its machine. */
  readonly tlsCertPath: string;
  readonly tlsKeyPath: string;
  readonly clientCaPath: string;
  /** The API's plain listener, on loopback. */
  readonly upstreamUrl: string;
  /** What the API knows the proxy by. */
  readonly proxySecret: string;
  /** Port, or address and port, that the proxy listens on. */
  readonly listen: string;
}

/** The headers that carry a client certificate, and where nginx has each from. */
const certificateHeaders = {
  'X-SSL-Client-Verify': '$ssl_client_verify',
  'X-SSL-Client-Cert': '$ssl_client_escaped_cert',
  'X-SSL-Client-Serial': '$ssl_client_serial',
  'X-SSL-Client-Issuer-DN': '$ssl_client_i_dn',
  'X-SSL-Client-Subject-DN': '$ssl_client_s_dn',
  'X-SSL-Client-Fingerprint': '$ssl_client_fingerprint',
  'X-SSL-Client-Not-Before': '$ssl_client_v_start',
  'X-SSL-Client-Not-After': '$ssl_client_v_end',
} as const;

/** Other headers in which proxies speak of a client; nothing behind us may take them for ours. */
const foreignHeaders = [
  'Client-Cert',
  'Client-Cert-Chain',
  'Forwarded',
  'SSL-Client-Cert',
  'True-Client-IP',
  'X-ARR-ClientCert',
  'X-Client-Cert',
  'X-Client-IP',
  'X-Cluster-Client-IP',
  'X-Forwarded-Client-Cert',
  'X-Forwarded-Host',
  'X-Forwarded-Port',
  'X-Forwarded-Server',
  'X-Original-URL',
  'X-Real-IP',
  'X-Rewrite-URL',
];

/** Above what the API takes, so that the API says what is too large. */
const bodyLimit = '2m';

/**
 * Renders one file for nginx's `http` context.
 *
 * @throws TrustError `request.invalid` when a value could be anything but what it is meant to be
 */
export function renderProxyConfig(options: ProxyOptions): string {
  const { serverName, tlsCertPath, tlsKeyPath, clientCaPath, proxySecret, listen } = checked(options);
  const upstream = new URL(options.upstreamUrl).host;
  const clientHeaders = Object.entries(certificateHeaders);
  return `# Sentinel behind nginx. Made by deploy/nginx/render.ts: render it again rather than changing it.
# It holds the secret that the API knows this proxy by: mode 0600, owned by root.

upstream sentinel_api {
  server ${upstream};
  keepalive 32;
}

# Only POST /api/heartbeat speaks for a device. Everywhere else the value is empty, and nginx drops an empty header.
map "$request_method $uri" $sentinel_is_heartbeat {
  default 0;
  "POST /api/heartbeat" 1;
}
map "$sentinel_is_heartbeat $ssl_client_verify" $sentinel_certificate_missing {
  default 0;
  "1 NONE" 1;
  "1 " 1;
}
${clientHeaders.map(([header, variable]) => `map $sentinel_is_heartbeat ${variableOf(header)} {\n  default "";\n  1 ${variable};\n}`).join('\n')}

server {
  listen ${listen} ssl http2;
  server_name ${serverName};
  server_tokens off;

  ssl_certificate ${tlsCertPath};
  ssl_certificate_key ${tlsKeyPath};
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305;
  ssl_prefer_server_ciphers off;
  # A resumed session would not be checked again.
  ssl_session_tickets off;
  ssl_session_cache off;

  # Asked of everybody, demanded below of heartbeats only.
  ssl_client_certificate ${clientCaPath};
  ssl_verify_client optional;
  ssl_verify_depth 4;
  # nginx itself refuses a certificate that it cannot verify, on every route. The API judges it instead, and writes it down.
  error_page 495 496 = @sentinel;

  ignore_invalid_headers on;
  underscores_in_headers off;
  large_client_header_buffers 4 16k;
  client_max_body_size ${bodyLimit};
  client_header_timeout 10s;
  client_body_timeout 10s;
  send_timeout 30s;
  keepalive_timeout 75s;

  proxy_http_version 1.1;
  proxy_connect_timeout 5s;
  proxy_send_timeout 30s;
  proxy_read_timeout 60s;
  proxy_redirect off;
  # A request that may have had an effect is not sent twice.
  proxy_next_upstream off;

  # These replace whatever the client sent under the same name.
  proxy_set_header Host $http_host;
  proxy_set_header Connection "";
  proxy_set_header X-Forwarded-For $remote_addr;
  proxy_set_header X-Forwarded-Proto https;
  proxy_set_header X-Sentinel-Proxy-Secret "${proxySecret}";
${clientHeaders.map(([header]) => `  proxy_set_header ${header} ${variableOf(header)};`).join('\n')}
${foreignHeaders.map((header) => `  proxy_set_header ${header} "";`).join('\n')}

  error_page 413 @sentinel_too_large;
  error_page 502 504 =503 @sentinel_unavailable;

  if ($host != "${serverName}") {
    return 421;
  }

  location / {
    proxy_pass http://sentinel_api;
  }

  location = /api/heartbeat {
    default_type application/problem+json;
    if ($sentinel_certificate_missing) {
      return 401 '${problem('certificate.missing')}';
    }
    proxy_pass http://sentinel_api;
  }

  # Events are passed on as they come, for as long as somebody listens.
  location = /api/events/stream {
    proxy_buffering off;
    proxy_read_timeout 1h;
    gzip off;
    proxy_pass http://sentinel_api;
  }

  # A request that comes here has passed neither the check of its host nor that of its size.
  location @sentinel {
    if ($host != "${serverName}") {
      return 421;
    }
    proxy_request_buffering off;
    proxy_pass http://sentinel_api;
  }

  location @sentinel_too_large {
    internal;
    default_type application/problem+json;
    return 413 '${problem('request.too_large')}';
  }

  location @sentinel_unavailable {
    internal;
    default_type application/problem+json;
    add_header Retry-After 2 always;
    return 503 '${problem('service.unavailable')}';
  }
}
`;
}

/** `X-SSL-Client-Verify` → `$sentinel_x_ssl_client_verify` */
function variableOf(header: string): string {
  return `$sentinel_${header.toLowerCase().replaceAll('-', '_')}`;
}

/** What the API would have answered; nginx fills in its own request id. */
function problem(code: ProblemCode): string {
  const { title, status, advice } = problems[code];
  const body = { type: `urn:sentinel:problem:${code}`, title, status, detail: advice, code, request_id: '$request_id' };
  return JSON.stringify(body).replaceAll("'", String.raw`\u0027`);
}

/** Values go into the file as they are, so each is of a form that nginx cannot take for anything else. */
function checked(options: ProxyOptions): ProxyOptions {
  const mistakes: string[] = [];
  const demand = (name: string, isGood: boolean, form: string): void => {
    if (!isGood) mistakes.push(`${name}: say ${form}`);
  };
  const hostName = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;
  demand('--server-name', hostName.test(options.serverName), 'one host name, in lower case');
  for (const [name, path] of [
    ['--tls-cert-path', options.tlsCertPath],
    ['--tls-key-path', options.tlsKeyPath],
    ['--client-ca-path', options.clientCaPath],
  ] as const) {
    demand(name, /^\/[A-Za-z0-9._@+/-]+$/.test(path), 'an absolute path of letters, digits and . _ @ + / -');
  }
  const plainLoopback = /^http:\/\/(127\.0\.0\.1|\[::1\]|localhost):([1-9]\d{0,4})\/?$/;
  const port = Number(plainLoopback.exec(options.upstreamUrl)?.[2]);
  demand('--upstream-url', port <= 65_535, 'http://127.0.0.1:PORT; the secret may not leave the machine');
  demand(
    'the proxy secret',
    /^[A-Za-z0-9_+/=-]{43,256}$/.test(options.proxySecret),
    '32 or more random bytes in base64',
  );
  demand('--listen', isListen(options.listen), 'a port, or an address and a port');
  if (mistakes.length > 0) throw new TrustError('request.invalid', { detail: mistakes.join('\n') });
  return options;
}

function isListen(text: string): boolean {
  const [, bracketed, plain, port = ''] = /^(?:(?:\[([0-9a-f:.]+)\]|([0-9.]+)):)?([1-9]\d{0,4})$/i.exec(text) ?? [];
  const isAddress = bracketed === undefined ? plain === undefined || isIP(plain) === 4 : isIP(bracketed) === 6;
  return isAddress && Number(port) >= 1 && Number(port) <= 65_535;
}

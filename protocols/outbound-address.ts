// Which addresses this server may call: nobody who can name an address may reach what only this machine can reach.
import { BlockList, isIP } from 'node:net';
import { TrustError } from '#contracts/problems.ts';

/** Special-purpose addresses (IANA registries of RFC 6890): private, loopback, link-local, shared, documentation, multicast. */
const specialV4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.31.196.0/24',
  '192.52.193.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '192.175.48.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
  // Public by its form, and yet the host below each machine of Azure, which tells it secrets.
  '168.63.129.16/32',
];
/** Of IPv6 only what is given out to the public counts as public, without what leads to other addresses or nowhere. */
const publicV6 = '2000::/3';
const specialV6 = ['2001::/23', '2001:db8::/32', '2002::/16', '2620:4f:8000::/48', '3fff::/20'];

const special = rangesOf([...specialV4, ...specialV6]);
const globalV6 = rangesOf([publicV6]);

export interface OutboundAddresses {
  /** Tells whether this address, as it was resolved and not as somebody wrote it, may be called. */
  isAllowed(address: string): boolean;
}

/**
 * @param allowed SENTINEL_OUTBOUND_ALLOWED_PRIVATE_ADDRESSES: addresses, or ranges in CIDR form, that may be called though
 *   they are not public.
 * @throws TrustError `request.invalid` for anything else
 */
export function createOutboundAddresses(allowed: readonly string[]): OutboundAddresses {
  for (const entry of allowed) {
    if (!isRange(entry)) {
      throw new TrustError('request.invalid', {
        detail: `SENTINEL_OUTBOUND_ALLOWED_PRIVATE_ADDRESSES: ${entry} is not an address, and not a range such as 10.0.0.0/8`,
      });
    }
  }
  const exceptions = rangesOf(allowed);
  return {
    isAllowed(address) {
      const plain = unmapped(address);
      const family = isIP(plain);
      if (family === 0) return false;
      const type = family === 4 ? 'ipv4' : 'ipv6';
      if (exceptions.check(plain, type)) return true;
      return !special.check(plain, type) && (family === 4 || globalV6.check(plain, 'ipv6'));
    },
  };
}

/** An IPv4 address that is written as an IPv6 one is that address; with a zone, it is nobody's who is not on this link. */
function unmapped(address: string): string {
  if (isIP(address) !== 6) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(canonical(address))?.[1];
  return mapped ?? address;
}

/** `::ffff:7f00:1` and `::ffff:127.0.0.1` are written in one way. */
function canonical(address: string): string {
  const url = URL.parse(`http://[${address}]`);
  const hex = /^\[::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})\]$/.exec(url?.hostname ?? '');
  if (hex === null) return address;
  const [high, low] = [Number.parseInt(hex[1] ?? '', 16), Number.parseInt(hex[2] ?? '', 16)];
  return `::ffff:${high >> 8}.${high & 0xff}.${low >> 8}.${low & 0xff}`;
}

function isRange(text: string): boolean {
  const [address = '', bits, more] = text.split('/');
  const family = isIP(address);
  if (family === 0 || more !== undefined) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}

function rangesOf(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', bits] = range.split('/');
    const type = isIP(address) === 4 ? 'ipv4' : 'ipv6';
    if (bits === undefined) list.addAddress(address, type);
    else list.addSubnet(address, Number(bits), type);
  }
  return list;
}

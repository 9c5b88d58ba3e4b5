// Makes a self-signed certificate for the tests of the outbound door, so that no key has to be stored in the repository.
// For tests only: it writes just the X.509 that Node's TLS needs.
import { generateKeyPairSync, sign } from 'node:crypto';

export interface TestCertificate {
  /** PEM. */
  cert: string;
  /** PEM. */
  key: string;
}

/** A certificate for these DNS names, valid from `from` to `until`. */
export function selfSigned(names: readonly string[], from: Date, until: Date): TestCertificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = sequence(objectId([0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]));
  const subject = sequence(tag(0x31, sequence(objectId([0x55, 0x04, 0x03]), tag(0x0c, Buffer.from('test')))));
  const alternativeNames = sequence(...names.map((name) => tag(0x82, Buffer.from(name))));
  const body = sequence(
    tag(0xa0, tag(0x02, Buffer.from([2]))),
    tag(0x02, Buffer.from([1])),
    algorithm,
    subject,
    sequence(time(from), time(until)),
    subject,
    publicKey.export({ type: 'spki', format: 'der' }),
    tag(0xa3, sequence(sequence(objectId([0x55, 0x1d, 0x11]), tag(0x04, alternativeNames)))),
  );
  const signature = sign('sha256', body, privateKey);
  const der = sequence(body, algorithm, tag(0x03, Buffer.concat([Buffer.from([0]), signature])));
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

function tag(type: number, content: Buffer): Buffer {
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([type, ...size]), content]);
}

function sequence(...items: Buffer[]): Buffer {
  return tag(0x30, Buffer.concat(items));
}

function objectId(bytes: number[]): Buffer {
  return tag(0x06, Buffer.from(bytes));
}

function time(date: Date): Buffer {
  return tag(0x18, Buffer.from(`${date.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`));
}

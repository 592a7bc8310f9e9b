"""Keys, certificates and tokens as openssl makes them, in a folder of the test."""
import base64
import json
import os
import subprocess

CURVE = ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes')


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


class Certificates:
    """Authorities and what they sign: NAME.pem and NAME.key."""

    def __init__(self, folder, *authorities):
        self.folder = folder
        for name in authorities:
            self.openssl('req', '-x509', *CURVE, '-subj', f'/CN={name}', '-days', '2',
                         '-keyout', f'{name}.key', '-out', f'{name}.pem')

    def openssl(self, *arguments):
        done = subprocess.run(['openssl', *arguments], cwd=self.folder, capture_output=True,
                              text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise AssertionError(done.stderr)

    def path(self, name):
        return os.path.join(self.folder, name)

    def issue(self, name, authority, names):
        with open(self.path(f'{name}.ext'), 'w', encoding='ascii') as file:
            file.write(f'subjectAltName={names}\n')
        self.openssl('req', *CURVE, '-subj', f'/CN={name}', '-keyout', f'{name}.key',
                     '-out', f'{name}.csr')
        self.openssl('x509', '-req', '-in', f'{name}.csr', '-CA', f'{authority}.pem', '-CAkey',
                     f'{authority}.key', '-CAcreateserial', '-days', '2', '-extfile',
                     f'{name}.ext', '-out', f'{name}.pem')

    def flags(self, name):
        """Options that say who somebody is."""
        return ['--tls-cert', self.path(f'{name}.pem'), '--tls-key', self.path(f'{name}.key')]


class Signer:
    """An RSA key, its JSON Web Key, and tokens signed with it."""

    def __init__(self, folder, name):
        self.key = os.path.join(folder, name + '.pem')
        self.jwk = os.path.join(folder, name + '.jwk')
        subprocess.run(['openssl', 'genrsa', '-out', self.key, '2048'], check=True,
                       capture_output=True)
        modulus = subprocess.run(['openssl', 'rsa', '-in', self.key, '-noout', '-modulus'],
                                 check=True, capture_output=True, text=True).stdout
        number = bytes.fromhex(modulus.strip().partition('=')[2])
        with open(self.jwk, 'w', encoding='ascii') as file:
            json.dump({'kty': 'RSA', 'alg': 'RS256', 'n': url64(number), 'e': 'AQAB'}, file)

    def token(self, **claims):
        text = url64(b'{"alg":"RS256"}') + '.' + url64(json.dumps(claims).encode())
        signed = subprocess.run(['openssl', 'dgst', '-sha256', '-sign', self.key], check=True,
                                input=text.encode(), capture_output=True).stdout
        return text + '.' + url64(signed)

#!/usr/bin/python3
"""TLS from end to end: certificates by openssl, our client, the official one, wrong ones."""
import os
import signal
import socket
import ssl
import sys
import unittest
import warnings

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support'))
import grpc  # noqa: E402
from credentials import Certificates  # noqa: E402
from node import MIB, ROOT, Node, free_port, sha256, wait_until  # noqa: E402

sys.path.insert(0, os.path.join(ROOT, 'examples', 'muxio-python'))
import capstan_muxio  # noqa: E402


class Tls(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)
        self.node.scheme = 'https://'
        self.certificates = Certificates(self.node.folder, 'ca', 'stranger')
        self.issue = self.certificates.issue
        self.issue('node', 'ca', 'IP:127.0.0.1,DNS:node.example')
        self.issue('elsewhere', 'ca', 'DNS:elsewhere.example')
        self.issue('client', 'ca', 'DNS:client')
        self.issue('intruder', 'stranger', 'DNS:client')

    def server_flags(self, name='node', *more):
        return [*self.certificates.flags(name), *more]

    def trust(self, authority='ca', client=None):
        flags = ['--tls-ca', self.node.path(f'{authority}.pem')]
        if client:
            flags += self.certificates.flags(client)
        return flags

    def refused(self, *flags, says):
        self.node.client_flags = list(flags)
        done = self.node.cli('--timeout', '10s', 'node', 'version', check=False)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertRegex(done.stderr, says)
        self.assertEqual(done.stdout, '')

    def test_encrypted_and_authenticated_server(self):
        self.node.client_flags = self.trust()
        self.node.start(*self.server_flags())
        self.assertIn('tls=true', self.node.log())
        self.node.cli('pool', 'create', 'p', self.node.disk(mebibytes=64))
        self.node.cli('replica', 'create', 'r', 'p', '--size', '16MiB', '--thin')
        image = self.node.path('image')
        with open(image, 'wb') as file:
            file.write(os.urandom(5 * MIB))
            file.truncate(16 * MIB)
        self.node.cli('image', 'import', 'r', image)
        self.node.cli('image', 'export', 'r', self.node.path('copy'))
        self.assertEqual(sha256(self.node.path('copy')), sha256(image))

        with open(self.node.path('ca.pem'), 'rb') as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        with grpc.secure_channel(f'127.0.0.1:{self.node.port}', credentials) as channel:
            call = channel.unary_unary('/capstan.node.v1.NodeRpc/GetVersion')
            self.assertIn(b'mayastor-node', call(b'', timeout=30))

        self.refused(*self.trust('stranger'), says='(?i)certificate')
        self.refused(says='(?i)certificate')   # the system's authorities do not know ours
        self.node.scheme = 'http://'
        self.refused(says='(?i)lost|closed|reset|HTTP')
        self.node.scheme, self.node.client_flags = 'https://', self.trust()
        self.assertEqual(self.node.cli('node', 'version').returncode, 0, 'nobody was disturbed')
        self.assertEqual(self.node.stop(), 0)

    def test_web_sockets_over_tls(self):
        """Muxio at wss://…/ws, on the port and on a further address, by two clients."""
        further = free_port()
        self.node.client_flags = self.trust()
        self.node.start(*self.server_flags(), '--kv', f'main={self.node.path("main.kv")}',
                        '--http-listen', f'127.0.0.1:{further}')
        value = os.urandom(3 * MIB)
        for port in (self.node.port, further):
            context = ssl.create_default_context(cafile=self.node.path('ca.pem'))
            with capstan_muxio.Client('127.0.0.1', port, tls=context) as client:
                store = capstan_muxio.DataStore(client)
                store.write(b'large', value)
                self.assertEqual(store.read(b'large'), value)
                self.assertTrue(client.call('capstan.node.v1.NodeRpc/GetVersion', b''))
            self.node.bind, self.node.client_flags = f'wss://127.0.0.1:{port}', self.trust()
            self.node.cli('kv', 'write', 'a', f'from {port}')
            self.assertEqual(self.node.cli('kv', 'read', 'a').stdout, f'from {port}')
            self.node.client_flags = self.trust('stranger')
            refused = self.node.cli('--timeout', '10s', 'node', 'version', check=False)
            self.assertEqual(refused.returncode, 3, refused.stderr)
            self.assertRegex(refused.stderr, '(?i)certificate')
            with self.assertRaises(ssl.SSLError):
                capstan_muxio.Client('127.0.0.1', port, tls=ssl.create_default_context())
            with self.assertRaises((ConnectionError, OSError)):
                capstan_muxio.Client('127.0.0.1', port, timeout=10)   # not encrypted
        # gRPC is not for the further address.
        self.node.bind, self.node.client_flags = f'https://127.0.0.1:{further}', self.trust()
        self.assertNotEqual(self.node.cli('node', 'version', check=False).returncode, 0)
        self.assertEqual(self.node.stop(), 0, self.node.log())

    def test_certificates_are_renewed_without_restart(self):
        self.node.client_flags = self.trust()
        self.node.start(*self.server_flags())
        with open(self.node.path('ca.pem'), 'rb') as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        with grpc.secure_channel(f'127.0.0.1:{self.node.port}', credentials) as channel:
            call = channel.unary_unary('/capstan.node.v1.NodeRpc/GetVersion')
            call(b'', timeout=30)
            # Files that do not belong together change nothing.
            self.issue('node', 'stranger', 'IP:127.0.0.1')
            self.rename_key('node.key', 'kept.key')
            self.rename_key('client.key', 'node.key')
            self.hang_up('certificates_not_reloaded')
            self.node.cli('node', 'version')
            # Another authority's certificate: for new connections.
            self.rename_key('kept.key', 'node.key')
            self.hang_up('certificates_reloaded')
            self.refused(*self.trust(), says='(?i)certificate')
            self.node.client_flags = self.trust('stranger')
            self.node.cli('node', 'version')
            call(b'', timeout=30)      # the connection that was there lives on
        self.assertEqual(self.node.stop(), 0)

    def rename_key(self, old, new):
        os.replace(self.node.path(old), self.node.path(new))

    def hang_up(self, says):
        self.node.process.send_signal(signal.SIGHUP)
        wait_until(lambda: says in self.node.log(), 30, f'{says} in the log')

    def test_a_certificate_for_another_host(self):
        self.node.client_flags = self.trust()
        with self.assertRaisesRegex(AssertionError, 'waited'):
            # Nobody but the right host convinces the client, however long it asks.
            self.node.start(*self.server_flags('elsewhere'), seconds=2)
        self.refused(*self.trust(), says='127.0.0.1')

    def test_clients_need_a_certificate(self):
        self.node.client_flags = self.trust(client='client')
        self.node.start(*self.server_flags('node', '--tls-client-ca', self.node.path('ca.pem')))
        self.refused(*self.trust(), says='(?i)certificate|closed|lost')
        self.refused(*self.trust(client='intruder'), says='(?i)unknown|certificate|closed|lost')
        self.node.client_flags = self.trust(client='client')
        self.assertEqual(self.node.cli('node', 'version').returncode, 0)

    def test_tls_before_1_2_is_refused(self):
        self.node.client_flags = self.trust()
        self.node.start(*self.server_flags())
        spoken = {}
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2,
                        ssl.TLSVersion.TLSv1_3):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(self.node.path('ca.pem'))
            with warnings.catch_warnings():
                warnings.simplefilter('ignore', DeprecationWarning)     # of the old versions
                context.minimum_version = context.maximum_version = version
            context.set_ciphers('ALL:@SECLEVEL=0')      # else OpenSSL itself would not offer them
            context.set_alpn_protocols(['h2'])
            with socket.create_connection(('127.0.0.1', self.node.port), timeout=30) as plain:
                try:
                    with context.wrap_socket(plain, server_hostname='127.0.0.1') as peer:
                        spoken[version.name] = peer.version()
                except ssl.SSLError as error:
                    spoken[version.name] = error.reason
        self.assertEqual(spoken, {'TLSv1': 'TLSV1_ALERT_PROTOCOL_VERSION',
                                  'TLSv1_1': 'TLSV1_ALERT_PROTOCOL_VERSION',
                                  'TLSv1_2': 'TLSv1.2', 'TLSv1_3': 'TLSv1.3'})

    def test_wrong_files_are_refused_before_anything_is_opened(self):
        missing = self.node.path('missing.pem')
        for flags, says in (
                (['--tls-cert', self.node.path('node.pem')], 'Give both'),
                (['--tls-cert', missing, '--tls-key', missing], 'missing.pem'),
                (['--tls-cert', self.node.path('node.pem'),
                  '--tls-key', self.node.path('client.key')], 'mismatch'),
                (self.server_flags('node', '--tls-client-ca', self.node.path('node.key')),
                 'no CA certificate')):
            code, text = self.node.run_to_end(*flags)
            self.assertEqual(code, 2, text)
            self.assertIn(says, text)
        self.assertFalse(os.path.exists(self.node.state))


if __name__ == '__main__':
    unittest.main()

// Why this file exists: two engines shake hands in memory: good certificates, wrong names, unknown
// authorities, missing client certificates, damaged records. The certificates are made here.
#include "wire/tls/tls_engine.h"

#include <gtest/gtest.h>

#include <array>

#include "wire/tls/tls_testing.h"

namespace capstan::wire {
namespace {

using testing::TestAuthority;

struct Pair {
  Pair(const TlsServerConfig& server_config, const TlsClientConfig& client_config,
       std::string_view host)
      : server_context(*TlsContext::server(server_config)),
        client_context(*TlsContext::client(client_config)),
        server(*server_context, ""),
        client(*client_context, host) {}
  // The first error, or success when both sides are established.
  Result<void> shake() {
    for (int round = 0; round < 20; ++round) {
      const auto ours = client.handshake();
      server.receive(as_bytes(client.take_output()));
      const auto theirs = server.handshake();
      client.receive(as_bytes(server.take_output()));
      if (!ours) return std::unexpected(ours.error());
      if (!theirs) return std::unexpected(theirs.error());
      if (*ours && *theirs) return {};
    }
    return fail(Code::kInternal, "no end of the handshake");
  }
  std::shared_ptr<const TlsContext> server_context, client_context;
  TlsEngine server, client;
};

class TlsEngineTest : public ::testing::Test {
 protected:
  TestAuthority authority{"good"}, stranger{"stranger"};
  testing::Identity node = authority.issue("node-1");
  TlsServerConfig server{node.certificate_pem, node.key_pem, "", true};
  TlsClientConfig client{authority.pem(), "", ""};
};

TEST_F(TlsEngineTest, ShakesHandsAndCarriesBytes) {
  Pair pair(server, client, "node-1");
  ASSERT_TRUE(pair.shake());
  EXPECT_EQ(pair.client.alpn(), "h2");
  EXPECT_EQ(pair.server.alpn(), "h2");
  EXPECT_EQ(pair.client.peer_subject(), "CN=node-1");
  EXPECT_EQ(pair.server.peer_subject(), "");
  const std::string text(100'000, 'x');
  ASSERT_TRUE(pair.client.write(as_bytes(text)));
  const auto cipher = pair.client.take_output();
  EXPECT_EQ(cipher.find("xxxx"), std::string::npos);
  std::string got;
  std::array<std::uint8_t, 5000> part;
  for (std::size_t at = 0; at < cipher.size(); at += 777) {
    pair.server.receive(as_bytes(std::string_view(cipher).substr(at, 777)));
    while (true) {
      const auto count = pair.server.read(part);
      ASSERT_TRUE(count);
      if (*count == 0) break;
      got += as_text(ByteView(part).first(*count));
    }
  }
  EXPECT_EQ(got, text);
}

// A port that several protocols share takes our clients as before.
TEST_F(TlsEngineTest, SharedPortStillChoosesHttp2) {
  server.http1 = true;
  Pair pair(server, client, "node-1");
  ASSERT_TRUE(pair.shake());
  EXPECT_EQ(pair.server.alpn(), "h2");
}

TEST_F(TlsEngineTest, ChecksTheName) {
  Pair pair(server, client, "node-2");
  const auto shaken = pair.shake();
  ASSERT_FALSE(shaken);
  EXPECT_NE(shaken.error().message.find("ostname mismatch"), std::string::npos)
      << shaken.error().message;
  Pair nameless(server, client, "");
  EXPECT_FALSE(nameless.shake());
}

TEST_F(TlsEngineTest, ChecksTheAuthority) {
  client.ca_pem = stranger.pem();
  Pair pair(server, client, "node-1");
  EXPECT_FALSE(pair.shake());
}

TEST_F(TlsEngineTest, AsksForClientCertificates) {
  server.client_ca_pem = authority.pem();
  {
    Pair without(server, client, "node-1");
    Result<void> shaken = without.shake();
    // In TLS 1.3 the client is done before the server has judged it.
    std::array<std::uint8_t, 10> part;
    if (shaken) EXPECT_FALSE(without.client.read(part));
    EXPECT_FALSE(without.server.established());
  }
  {
    auto known = authority.issue("operator");
    Pair with(server, {authority.pem(), known.certificate_pem, known.key_pem}, "node-1");
    ASSERT_TRUE(with.shake());
    EXPECT_EQ(with.server.peer_subject(), "CN=operator");
  }
  {
    auto unknown = stranger.issue("operator");
    Pair with(server, {authority.pem(), unknown.certificate_pem, unknown.key_pem}, "node-1");
    (void)with.shake().has_value();
    EXPECT_FALSE(with.server.established());
  }
  server.client_certificate_required = false;
  Pair optional(server, client, "node-1");
  EXPECT_TRUE(optional.shake());
}

TEST_F(TlsEngineTest, ACertificateWithoutASubjectIsCalledByItsFirstName) {
  server.client_ca_pem = authority.pem();
  const std::pair<const char*, const char*> cases[] = {
      {"critical,URI:spiffe://prod/backup,DNS:b.example", "URI:spiffe://prod/backup"},
      {"DNS:b.example,URI:spiffe://prod/backup", "URI:spiffe://prod/backup"},
      {"IP:10.0.0.7,DNS:b.example", "DNS:b.example"},
      {"IP:10.0.0.7", "IP:10.0.0.7"},
      {"email:a@b.example", "(no subject)"},
      {"", "(no subject)"},
      // What separates the parts of a subject is escaped, so it cannot pose as one.
      {"URI:spiffe://x+CN=admin\\a", "URI:spiffe://x\\+CN=admin\\\\a"}};
  for (const auto& [alternatives, called] : cases) {
    const auto nameless = authority.issue("", alternatives);
    Pair pair(server, {authority.pem(), nameless.certificate_pem, nameless.key_pem}, "node-1");
    ASSERT_TRUE(pair.shake()) << alternatives;
    EXPECT_EQ(pair.server.verified_subject(), called);
  }
}

TEST_F(TlsEngineTest, ARenewedCertificateIsForNewConnections) {
  Pair before(server, client, "node-1");
  ASSERT_TRUE(before.shake());
  const auto renewed = authority.issue("node-2");
  ASSERT_TRUE(before.server_context->renew({renewed.certificate_pem, renewed.key_pem, "", true}));

  const auto client_context = *TlsContext::client(client);
  TlsEngine served(*before.server_context, ""), asking(*client_context, "node-2");
  for (int round = 0; round < 5; ++round) {
    EXPECT_TRUE(asking.handshake());
    served.receive(as_bytes(asking.take_output()));
    EXPECT_TRUE(served.handshake());
    asking.receive(as_bytes(served.take_output()));
  }
  EXPECT_TRUE(asking.established());
  EXPECT_EQ(asking.peer_subject(), "CN=node-2");
  // What is connected stays connected.
  std::array<std::uint8_t, 10> part;
  ASSERT_TRUE(before.client.write(as_bytes("still")));
  before.server.receive(as_bytes(before.client.take_output()));
  EXPECT_EQ(before.server.read(part).value_or(0), 5U);

  const auto bad = before.server_context->renew({renewed.certificate_pem, node.key_pem, "", true});
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().message.find("mismatch"), std::string::npos) << bad.error().message;
  TlsEngine again(*before.server_context, "");  // the last good one
}

TEST_F(TlsEngineTest, RefusesBadConfiguration) {
  const auto other = authority.issue("other");
  EXPECT_FALSE(TlsContext::server({node.certificate_pem, other.key_pem, "", true}));
  EXPECT_FALSE(TlsContext::server({"nonsense", node.key_pem, "", true}));
  EXPECT_FALSE(TlsContext::server({node.certificate_pem, "nonsense", "", true}));
  EXPECT_FALSE(TlsContext::server({node.certificate_pem, node.key_pem, "nonsense", true}));
  const auto bad = TlsContext::client({"nonsense", "", ""});
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, Code::kInvalidArgument);
}

TEST_F(TlsEngineTest, SurvivesDamagedBytes) {
  Pair good(server, client, "node-1");
  (void)good.client.handshake().has_value();
  const auto hello = good.client.take_output();
  for (std::size_t at = 0; at < hello.size(); at += 3) {
    std::string damaged = hello;
    damaged[at] = static_cast<char>(~damaged[at]);
    TlsEngine engine(*good.server_context, "");
    engine.receive(as_bytes(damaged));
    (void)engine.handshake().has_value();
    EXPECT_FALSE(engine.established());
  }
}

}  // namespace
}  // namespace capstan::wire

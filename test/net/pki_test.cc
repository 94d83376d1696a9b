#include "net/pki.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "test/net/support.h"

namespace net::test {
namespace {

TEST(Pki, CertificatesSayWhatWasAskedFor) {
    const auto ca = parse_certificate(pki().ca.certificate).value();
    EXPECT_TRUE(ca.is_ca);
    EXPECT_EQ(ca.common_name, "test-ca");
    const auto server = parse_certificate(pki().server.certificate).value();
    EXPECT_FALSE(server.is_ca);
    EXPECT_EQ(server.dns_names, std::vector<std::string>{"localhost"});
    EXPECT_EQ(server.ip_addresses, (std::vector<std::string>{"127.0.0.1", "::1"}));
    const auto alice = parse_certificate(pki().alice.certificate).value();
    EXPECT_EQ(alice.common_name, "alice");
    EXPECT_EQ(alice.organizations, (std::vector<std::string>{"dev", "ops"}));
    const auto life = alice.not_after - alice.not_before;
    EXPECT_EQ(std::chrono::duration_cast<std::chrono::minutes>(life).count(), 365 * 24 * 60 + 5);
}

TEST(Pki, OpensslAgrees) {
    const std::string d = pki().dir;
    EXPECT_EQ(shell("openssl verify -purpose sslserver -CAfile " + d + "/ca.crt " + d +
                    "/server.crt 2>&1"),
              d + "/server.crt: OK\n");
    EXPECT_EQ(shell("openssl verify -purpose sslclient -CAfile " + d + "/ca.crt " + d +
                    "/alice.crt 2>&1"),
              d + "/alice.crt: OK\n");
    EXPECT_NE(
        shell("openssl verify -CAfile " + d + "/ca.crt " + d + "/stranger.crt 2>&1").find("error"),
        std::string::npos);
}

TEST(Pki, KeysAreForTheOwnerOnly) {
    struct stat info {};
    ASSERT_EQ(::stat((pki().dir + "/alice.key").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600U);
    const KeyPair back = read_key_pair(pki().dir + "/alice").value();
    EXPECT_EQ(back.certificate, pki().alice.certificate);
    EXPECT_EQ(back.key, pki().alice.key);
}

TEST(Pki, BadInputIsAnError) {
    CertificateSpec spec;
    spec.ip_addresses = {"300.1.1.1"};
    EXPECT_EQ(issue_certificate(pki().ca, spec).error().code, base::Code::kInvalidArgument);
    EXPECT_FALSE(parse_certificate("x"));
    KeyPair broken = pki().ca;
    broken.key = "x";
    EXPECT_FALSE(issue_certificate(broken, {}));
    EXPECT_TRUE(make_signing_key()->public_pem.starts_with("-----BEGIN PUBLIC KEY"));
}

}  // namespace
}  // namespace net::test

#pragma once
// A small certificate authority: what `coxctl cluster up` and the tests make their certificates
// with. ECDSA P-256 keys, SHA-256 signatures, X.509 v3. Values are PEM text; nothing is kept. May
// be used on any thread; takes well under a millisecond a certificate.

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace net {

// A certificate and its private key (PKCS #8), both PEM.
struct KeyPair {
    std::string certificate;
    std::string key;
};

struct CertificateSpec {
    std::string common_name;
    std::vector<std::string> organizations;
    std::vector<std::string> dns_names;
    std::vector<std::string> ip_addresses;  // v4 or v6; InvalidArgument when one is neither
    bool server = false;                    // extended key usage serverAuth
    bool client = false;                    // extended key usage clientAuth; peers have both
    std::chrono::hours validity{24 * 365};
};

// A self-signed CA.
base::Result<KeyPair> make_ca(const std::string& common_name,
                              std::chrono::hours validity = std::chrono::hours(24 * 3650));
// A certificate signed by `ca`. Valid from five minutes ago, against skewed clocks.
base::Result<KeyPair> issue_certificate(const KeyPair& ca, const CertificateSpec& spec);
// A bare P-256 key pair, for signing service account tokens: PKCS #8 and SubjectPublicKeyInfo.
struct SigningKey {
    std::string private_pem;
    std::string public_pem;
};
base::Result<SigningKey> make_signing_key();

// Writes `<path_prefix>.crt` (0644) and `<path_prefix>.key` (0600). Blocks: start-up only.
base::Status write_key_pair(const KeyPair& pair, const std::string& path_prefix);
base::Result<KeyPair> read_key_pair(const std::string& path_prefix);

// What a PEM certificate says, for checks and `coxctl`.
struct CertificateInfo {
    std::string common_name;
    std::vector<std::string> organizations;
    std::vector<std::string> dns_names;
    std::vector<std::string> ip_addresses;
    bool is_ca = false;
    std::chrono::system_clock::time_point not_before;
    std::chrono::system_clock::time_point not_after;
};
base::Result<CertificateInfo> parse_certificate(std::string_view pem);

}  // namespace net

#include "net/pki.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/file.h"
#include "net/tls_session.h"

namespace net {
namespace {

template <auto F>
struct Free {
    template <class T>
    void operator()(T* p) const {
        F(p);
    }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using CertPtr = std::unique_ptr<X509, Free<X509_free>>;
using BioPtr = std::unique_ptr<BIO, Free<BIO_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Free<X509_EXTENSION_free>>;

std::string bio_text(BIO* bio) {
    char* data = nullptr;
    const long n = BIO_get_mem_data(bio, &data);
    return std::string(data, static_cast<std::size_t>(n));
}

template <class Write>
base::Result<std::string> to_pem(Write write) {
    BioPtr bio(BIO_new(BIO_s_mem()));
    if (!bio || write(bio.get()) != 1) return tls_error("cannot write PEM");
    return bio_text(bio.get());
}

base::Result<std::string> key_pem(EVP_PKEY* key) {
    return to_pem([&](BIO* b) {
        return PEM_write_bio_PKCS8PrivateKey(b, key, nullptr, nullptr, 0, nullptr, nullptr);
    });
}

base::Result<KeyPtr> new_key() {
    KeyPtr key(EVP_EC_gen("P-256"));
    if (!key) return tls_error("cannot make a P-256 key");
    return key;
}

base::Result<CertPtr> read_certificate(std::string_view pem) {
    BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    CertPtr cert(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (!cert) {
        ERR_clear_error();
        return base::invalid_argument("not a PEM certificate");
    }
    return cert;
}

base::Status add_extension(X509* cert, X509* issuer, int nid, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
    ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
    if (!extension || X509_add_ext(cert, extension.get(), -1) != 1)
        return tls_error(fmt::format("cannot add the certificate extension {}", OBJ_nid2sn(nid)));
    return {};
}

void add_name(X509_NAME* name, const char* field, const std::string& value) {
    X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(value.data()),
                               static_cast<int>(value.size()), -1, 0);
}

base::Result<CertPtr> blank_certificate(EVP_PKEY* key, std::chrono::hours validity) {
    CertPtr cert(X509_new());
    unsigned char serial[16];
    if (!cert || RAND_bytes(serial, sizeof serial) != 1) return tls_error("no randomness");
    serial[0] = static_cast<unsigned char>((serial[0] & 0x7f) | 0x40);
    BIGNUM* number = BN_bin2bn(serial, sizeof serial, nullptr);
    BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert.get()));
    BN_free(number);
    X509_set_version(cert.get(), X509_VERSION_3);
    X509_gmtime_adj(X509_getm_notBefore(cert.get()), -300);
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(validity).count();
    X509_time_adj_ex(X509_getm_notAfter(cert.get()), static_cast<int>(seconds / 86400),
                     static_cast<long>(seconds % 86400), nullptr);
    X509_set_pubkey(cert.get(), key);
    return cert;
}

base::Result<KeyPair> seal(X509* cert, EVP_PKEY* key, EVP_PKEY* signer) {
    if (X509_sign(cert, signer, EVP_sha256()) == 0) return tls_error("cannot sign");
    KeyPair pair;
    TRY(pair.certificate, to_pem([&](BIO* b) { return PEM_write_bio_X509(b, cert); }));
    TRY(pair.key, key_pem(key));
    return pair;
}

// The subjectAltName extension, made entry by entry so that no name can smuggle in another.
base::Status add_alternative_names(X509* cert, const CertificateSpec& spec) {
    if (spec.dns_names.empty() && spec.ip_addresses.empty()) return {};
    std::unique_ptr<GENERAL_NAMES, Free<GENERAL_NAMES_free>> names(GENERAL_NAMES_new());
    for (const std::string& dns : spec.dns_names) {
        GENERAL_NAME* name = GENERAL_NAME_new();
        ASN1_IA5STRING* text = ASN1_IA5STRING_new();
        ASN1_STRING_set(text, dns.data(), static_cast<int>(dns.size()));
        GENERAL_NAME_set0_value(name, GEN_DNS, text);
        sk_GENERAL_NAME_push(names.get(), name);
    }
    for (const std::string& ip : spec.ip_addresses) {
        ASN1_OCTET_STRING* bytes = a2i_IPADDRESS(ip.c_str());
        if (!bytes) return base::invalid_argument(fmt::format("\"{}\" is not an IP address", ip));
        GENERAL_NAME* name = GENERAL_NAME_new();
        GENERAL_NAME_set0_value(name, GEN_IPADD, bytes);
        sk_GENERAL_NAME_push(names.get(), name);
    }
    if (X509_add1_ext_i2d(cert, NID_subject_alt_name, names.get(), 0, 0) != 1)
        return tls_error("cannot add subjectAltName");
    return {};
}

}  // namespace

base::Result<KeyPair> make_ca(const std::string& common_name, std::chrono::hours validity) {
    TRY(KeyPtr key, new_key());
    TRY(CertPtr cert, blank_certificate(key.get(), validity));
    add_name(X509_get_subject_name(cert.get()), "CN", common_name);
    X509_set_issuer_name(cert.get(), X509_get_subject_name(cert.get()));
    TRY_VOID(add_extension(cert.get(), cert.get(), NID_basic_constraints, "critical,CA:TRUE"));
    TRY_VOID(add_extension(cert.get(), cert.get(), NID_key_usage,
                           "critical,digitalSignature,keyCertSign,cRLSign"));
    TRY_VOID(add_extension(cert.get(), cert.get(), NID_subject_key_identifier, "hash"));
    return seal(cert.get(), key.get(), key.get());
}

base::Result<KeyPair> issue_certificate(const KeyPair& ca, const CertificateSpec& spec) {
    TRY(CertPtr issuer, read_certificate(ca.certificate));
    BioPtr bio(BIO_new_mem_buf(ca.key.data(), static_cast<int>(ca.key.size())));
    KeyPtr signer(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
    if (!signer) return tls_error("the CA's key is not a PEM private key");
    TRY(KeyPtr key, new_key());
    TRY(CertPtr cert, blank_certificate(key.get(), spec.validity));
    X509_NAME* subject = X509_get_subject_name(cert.get());
    for (const std::string& o : spec.organizations)
        add_name(subject, "O", o);
    add_name(subject, "CN", spec.common_name);
    X509_set_issuer_name(cert.get(), X509_get_subject_name(issuer.get()));
    TRY_VOID(add_extension(cert.get(), issuer.get(), NID_basic_constraints, "critical,CA:FALSE"));
    TRY_VOID(add_extension(cert.get(), issuer.get(), NID_key_usage,
                           "critical,digitalSignature,keyEncipherment"));
    std::string usage;
    if (spec.server) usage = "serverAuth";
    if (spec.client) usage += usage.empty() ? "clientAuth" : ",clientAuth";
    if (!usage.empty()) TRY_VOID(add_extension(cert.get(), issuer.get(), NID_ext_key_usage, usage));
    TRY_VOID(add_extension(cert.get(), issuer.get(), NID_authority_key_identifier, "keyid"));
    TRY_VOID(add_alternative_names(cert.get(), spec));
    return seal(cert.get(), key.get(), signer.get());
}

base::Result<SigningKey> make_signing_key() {
    TRY(KeyPtr key, new_key());
    SigningKey out;
    TRY(out.private_pem, key_pem(key.get()));
    TRY(out.public_pem, to_pem([&](BIO* b) { return PEM_write_bio_PUBKEY(b, key.get()); }));
    return out;
}

base::Status write_key_pair(const KeyPair& pair, const std::string& path_prefix) {
    TRY_VOID(base::write_file_atomic(path_prefix + ".key", pair.key, 0600));
    return base::write_file_atomic(path_prefix + ".crt", pair.certificate, 0644);
}

base::Result<KeyPair> read_key_pair(const std::string& path_prefix) {
    KeyPair pair;
    TRY(pair.certificate, base::read_file(path_prefix + ".crt"));
    TRY(pair.key, base::read_file(path_prefix + ".key"));
    return pair;
}

base::Result<CertificateInfo> parse_certificate(std::string_view pem) {
    TRY(CertPtr cert, read_certificate(pem));
    const PeerIdentity identity = identity_of(cert.get());
    CertificateInfo info;
    info.common_name = identity.common_name;
    info.organizations = identity.organizations;
    info.dns_names = identity.dns_names;
    info.ip_addresses = identity.ip_addresses;
    info.is_ca = X509_check_ca(cert.get()) == 1;
    const auto time_of = [](const ASN1_TIME* t) {
        std::tm parts{};
        ASN1_TIME_to_tm(t, &parts);
        return std::chrono::system_clock::from_time_t(timegm(&parts));
    };
    info.not_before = time_of(X509_get0_notBefore(cert.get()));
    info.not_after = time_of(X509_get0_notAfter(cert.get()));
    return info;
}

}  // namespace net

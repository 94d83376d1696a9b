#include "net/tls_session.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/log.h"

namespace net {
namespace {

template <auto F>
struct Free {
    template <class T>
    void operator()(T* p) const {
        F(p);
    }
};
using CertPtr = std::unique_ptr<X509, Free<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using BioPtr = std::unique_ptr<BIO, Free<BIO_free>>;
using ContextPtr = std::unique_ptr<SSL_CTX, Free<SSL_CTX_free>>;

std::string source_name(const PemSource& source) {
    return source.pem.empty() ? source.file : "the given PEM text";
}

base::Result<std::string> load_pem(const PemSource& source) {
    if (!source.pem.empty()) return source.pem;
    return base::read_file(source.file);
}

BioPtr reader(const std::string& pem) {
    return BioPtr(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

// All certificates of a PEM text. The end of the text leaves an error in OpenSSL's queue.
std::vector<CertPtr> all_certificates(const std::string& pem) {
    std::vector<CertPtr> out;
    BioPtr bio = reader(pem);
    while (X509* cert = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr))
        out.emplace_back(cert);
    ERR_clear_error();
    return out;
}

base::Status use_certificate(SSL_CTX* ctx, const PemSource& cert_source,
                             const PemSource& key_source) {
    TRY(const std::string cert_pem, load_pem(cert_source));
    TRY(const std::string key_pem, load_pem(key_source));
    std::vector<CertPtr> chain = all_certificates(cert_pem);
    if (chain.empty())
        return base::invalid_argument(
            fmt::format("{}: no PEM certificate in it", source_name(cert_source)));
    KeyPtr key(PEM_read_bio_PrivateKey(reader(key_pem).get(), nullptr, nullptr, nullptr));
    if (!key) {
        ERR_clear_error();
        return base::invalid_argument(
            fmt::format("{}: no PEM private key in it", source_name(key_source)));
    }
    if (SSL_CTX_use_certificate(ctx, chain[0].get()) != 1)
        return tls_error(source_name(cert_source));
    for (std::size_t i = 1; i < chain.size(); ++i)
        SSL_CTX_add1_chain_cert(ctx, chain[i].get());
    if (SSL_CTX_use_PrivateKey(ctx, key.get()) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
        ERR_clear_error();
        return base::invalid_argument(fmt::format("{} does not fit the certificate {}",
                                                  source_name(key_source),
                                                  source_name(cert_source)));
    }
    return {};
}

base::Status use_ca(SSL_CTX* ctx, const PemSource& source, bool tell_clients) {
    TRY(const std::string pem, load_pem(source));
    const std::vector<CertPtr> list = all_certificates(pem);
    if (list.empty())
        return base::invalid_argument(
            fmt::format("{}: no PEM certificate in it", source_name(source)));
    for (const CertPtr& cert : list) {
        X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert.get());
        if (tell_clients) SSL_CTX_add_client_CA(ctx, cert.get());
    }
    ERR_clear_error();
    return {};
}

int choose_alpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                unsigned in_size, void*) {
    static const unsigned char kPreferred[] = "\x02h2\x08http/1.1";
    unsigned char* chosen = nullptr;
    if (SSL_select_next_proto(&chosen, out_size, kPreferred, sizeof kPreferred - 1, in, in_size) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

std::vector<std::string> name_entries(X509_NAME* name, int nid) {
    std::vector<std::string> out;
    for (int at = -1; (at = X509_NAME_get_index_by_NID(name, nid, at)) >= 0;) {
        unsigned char* text = nullptr;
        const int n =
            ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
        if (n >= 0) out.emplace_back(reinterpret_cast<char*>(text), static_cast<std::size_t>(n));
        OPENSSL_free(text);
    }
    return out;
}

bool is_ip_address(const std::string& host) {
    unsigned char scratch[16];
    return inet_pton(AF_INET, host.c_str(), scratch) == 1 ||
           inet_pton(AF_INET6, host.c_str(), scratch) == 1;
}

}  // namespace

base::Error tls_error(std::string_view what) {
    const unsigned long code = ERR_get_error();
    ERR_clear_error();
    const char* reason = code ? ERR_reason_error_string(code) : nullptr;
    return base::unavailable(fmt::format("{}: {}", what, reason ? reason : "TLS failed"));
}

PeerIdentity identity_of(X509* certificate) {
    PeerIdentity id;
    X509_NAME* subject = X509_get_subject_name(certificate);
    auto names = name_entries(subject, NID_commonName);
    if (!names.empty()) id.common_name = std::move(names.back());
    id.organizations = name_entries(subject, NID_organizationName);
    std::unique_ptr<GENERAL_NAMES, Free<GENERAL_NAMES_free>> alternatives(
        static_cast<GENERAL_NAMES*>(
            X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
    for (int i = 0; alternatives && i < sk_GENERAL_NAME_num(alternatives.get()); ++i) {
        const GENERAL_NAME* name = sk_GENERAL_NAME_value(alternatives.get(), i);
        if (name->type != GEN_DNS && name->type != GEN_IPADD) continue;
        const ASN1_STRING* text = name->type == GEN_DNS ? name->d.dNSName : name->d.iPAddress;
        const unsigned char* data = ASN1_STRING_get0_data(text);
        const int n = ASN1_STRING_length(text);
        if (name->type == GEN_DNS) {
            id.dns_names.emplace_back(reinterpret_cast<const char*>(data),
                                      static_cast<std::size_t>(n));
        } else if (n == 4 || n == 16) {
            char out[INET6_ADDRSTRLEN];
            if (inet_ntop(n == 4 ? AF_INET : AF_INET6, data, out, sizeof out))
                id.ip_addresses.emplace_back(out);
        }
    }
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (X509_digest(certificate, EVP_sha256(), digest, &size) == 1)
        id.fingerprint_sha256 =
            base::hex_encode(std::string_view(reinterpret_cast<char*>(digest), size));
    return id;
}

base::Result<std::shared_ptr<TlsContext>> TlsContext::for_server(ServerTls options) {
    std::shared_ptr<TlsContext> out(new TlsContext());
    out->server_ = true;
    out->server_tls_ = std::move(options);
    TRY_VOID(out->load());
    return out;
}

base::Result<std::shared_ptr<TlsContext>> TlsContext::for_client(ClientTls options,
                                                                 std::vector<std::string> alpn) {
    std::shared_ptr<TlsContext> out(new TlsContext());
    out->client_tls_ = std::move(options);
    for (const std::string& name : alpn) {
        out->alpn_wire_.push_back(static_cast<char>(name.size()));
        out->alpn_wire_ += name;
    }
    TRY_VOID(out->load());
    return out;
}

TlsContext::~TlsContext() {
    SSL_CTX_free(context_);
}

base::Status TlsContext::load() {
    const std::string before = stamp();
    ContextPtr ctx(SSL_CTX_new(server_ ? TLS_server_method() : TLS_client_method()));
    if (!ctx) return tls_error("cannot make a TLS context");
    SSL_CTX_set_min_proto_version(ctx.get(), TLS1_2_VERSION);
    SSL_CTX_set_options(ctx.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE |
                                       SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx.get(), SSL_MODE_RELEASE_BUFFERS);
    // No resumption: a session would outlive a change of the certificates and costs memory.
    SSL_CTX_set_session_cache_mode(ctx.get(), SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx.get(), 0);
    if (server_) {
        SSL_CTX_set_options(ctx.get(), SSL_OP_NO_TICKET);
        TRY_VOID(use_certificate(ctx.get(), server_tls_.certificate, server_tls_.key));
        SSL_CTX_set_alpn_select_cb(ctx.get(), choose_alpn, nullptr);
        if (server_tls_.client_auth != ClientAuth::kNone) {
            if (server_tls_.client_ca.empty())
                return base::invalid_argument("client certificates are asked for without a CA");
            TRY_VOID(use_ca(ctx.get(), server_tls_.client_ca, true));
            int mode = SSL_VERIFY_PEER;
            if (server_tls_.client_auth == ClientAuth::kRequire)
                mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
            SSL_CTX_set_verify(ctx.get(), mode, nullptr);
        }
    } else {
        if (client_tls_.ca.empty())
            SSL_CTX_set_default_verify_paths(ctx.get());
        else
            TRY_VOID(use_ca(ctx.get(), client_tls_.ca, false));
        if (!client_tls_.certificate.empty())
            TRY_VOID(use_certificate(ctx.get(), client_tls_.certificate, client_tls_.key));
        SSL_CTX_set_verify(ctx.get(), client_tls_.skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
                           nullptr);
        SSL_CTX_set_alpn_protos(ctx.get(),
                                reinterpret_cast<const unsigned char*>(alpn_wire_.data()),
                                static_cast<unsigned>(alpn_wire_.size()));
    }
    SSL_CTX_free(context_);  // sessions that live hold their own reference
    context_ = ctx.release();
    stamp_ = before;
    return {};
}

std::string TlsContext::stamp() const {
    std::string out;
    for (const PemSource* source :
         {&server_tls_.certificate, &server_tls_.key, &server_tls_.client_ca, &client_tls_.ca,
          &client_tls_.certificate, &client_tls_.key}) {
        struct stat info {};
        if (!source->pem.empty() || source->file.empty()) continue;
        if (::stat(source->file.c_str(), &info) == 0)
            out += fmt::format("{}.{}.{}.{};", info.st_mtim.tv_sec, info.st_mtim.tv_nsec,
                               info.st_ino, info.st_size);
    }
    return out;
}

void TlsContext::reload_if_changed() {
    const std::string now = stamp();
    if (now == stamp_) return;
    if (const base::Status status = load(); !status) {
        // Tried once for each change: files are often replaced one after the other.
        LOG_WARN("net", "the changed TLS files are not used: {}", status.error().message);
        stamp_ = now;
    } else {
        LOG_INFO("net", "TLS files were read again after a change");
    }
}

BIO_METHOD* TlsSession::bio_method() {
    static BIO_METHOD* const method = [] {
        BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "net");
        BIO_meth_set_read(m, bio_read);
        BIO_meth_set_write(m, bio_write);
        BIO_meth_set_ctrl(m, bio_control);
        return m;
    }();
    return method;
}

int TlsSession::bio_read(BIO* bio, char* out, int n) {
    auto* self = static_cast<TlsSession*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    if (self->in_.empty()) {
        BIO_set_retry_read(bio);
        return -1;
    }
    const std::size_t take = std::min(self->in_.size(), static_cast<std::size_t>(n));
    std::memcpy(out, self->in_.data(), take);
    self->in_.remove_prefix(take);
    return static_cast<int>(take);
}

int TlsSession::bio_write(BIO* bio, const char* data, int n) {
    auto* self = static_cast<TlsSession*>(BIO_get_data(bio));
    if (self->out_) self->out_->append(data, static_cast<std::size_t>(n));
    return n;
}

long TlsSession::bio_control(BIO*, int command, long, void*) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

TlsSession::TlsSession(std::shared_ptr<TlsContext> context, const std::string& host)
    : context_(std::move(context)), ssl_(SSL_new(context_->native())) {
    CHECK(ssl_ != nullptr);
    BIO* bio = BIO_new(bio_method());
    BIO_set_data(bio, this);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_, bio, bio);
    if (context_->server()) {
        SSL_set_accept_state(ssl_);
        return;
    }
    SSL_set_connect_state(ssl_);
    const ClientTls& options = context_->client_options();
    const std::string& name = options.server_name.empty() ? host : options.server_name;
    if (is_ip_address(name)) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), name.c_str());
    } else {
        SSL_set1_host(ssl_, name.c_str());
        SSL_set_tlsext_host_name(ssl_, name.c_str());
    }
}

TlsSession::~TlsSession() {
    SSL_free(ssl_);
}

base::Status TlsSession::feed(std::string_view bytes, std::string* plain, std::string* wire) {
    in_ = bytes;
    out_ = wire;
    ERR_clear_error();
    if (!open_) {
        const int rc = SSL_do_handshake(ssl_);
        if (rc == 1) {
            open_ = true;
        } else {
            const int why = SSL_get_error(ssl_, rc);
            out_ = nullptr;
            if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return {};
            const long verify = SSL_get_verify_result(ssl_);
            base::Error error = tls_error("TLS handshake");
            if (verify != X509_V_OK)
                error.message += fmt::format(" ({})", X509_verify_cert_error_string(verify));
            return error;
        }
    }
    char buffer[16384];
    for (;;) {
        const int n = SSL_read(ssl_, buffer, sizeof buffer);
        if (n > 0) {
            plain->append(buffer, static_cast<std::size_t>(n));
            continue;
        }
        const int why = SSL_get_error(ssl_, n);
        out_ = nullptr;
        if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return {};
        if (why == SSL_ERROR_ZERO_RETURN) {
            peer_closed_ = true;
            return {};
        }
        return tls_error("TLS");
    }
}

base::Status TlsSession::write(std::string_view plain, std::string* wire) {
    out_ = wire;
    ERR_clear_error();
    while (!plain.empty()) {
        const int n = SSL_write(ssl_, plain.data(),
                                static_cast<int>(std::min(plain.size(), std::size_t{1} << 20)));
        if (n <= 0) {
            out_ = nullptr;
            return tls_error("TLS write");
        }
        plain.remove_prefix(static_cast<std::size_t>(n));
    }
    out_ = nullptr;
    return {};
}

void TlsSession::shutdown(std::string* wire) {
    if (!open_) return;
    out_ = wire;
    SSL_shutdown(ssl_);
    ERR_clear_error();
    out_ = nullptr;
}

std::string TlsSession::alpn() const {
    const unsigned char* name = nullptr;
    unsigned n = 0;
    SSL_get0_alpn_selected(ssl_, &name, &n);
    return std::string(reinterpret_cast<const char*>(name), n);
}

std::shared_ptr<const PeerIdentity> TlsSession::peer() const {
    X509* cert = SSL_get0_peer_certificate(ssl_);
    if (!cert) return nullptr;
    auto id = std::make_shared<PeerIdentity>(identity_of(cert));
    id->verified = SSL_get_verify_result(ssl_) == X509_V_OK;
    return id;
}

}  // namespace net

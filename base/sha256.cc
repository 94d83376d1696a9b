#include "base/sha256.h"

#include <openssl/evp.h>

#include "base/check.h"

namespace base {

struct Sha256::Impl {
    std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context{EVP_MD_CTX_new(), EVP_MD_CTX_free};
};

Sha256::Sha256() : impl_(std::make_unique<Impl>()) {
    CHECK(EVP_DigestInit_ex(impl_->context.get(), EVP_sha256(), nullptr) == 1);
}

Sha256::~Sha256() = default;

void Sha256::add(std::string_view bytes) {
    CHECK(EVP_DigestUpdate(impl_->context.get(), bytes.data(), bytes.size()) == 1);
}

std::string Sha256::finish() {
    std::string out(kSha256Bytes, '\0');
    CHECK(EVP_DigestFinal_ex(impl_->context.get(), reinterpret_cast<unsigned char*>(out.data()),
                             nullptr) == 1);
    return out;
}

std::string sha256(std::string_view bytes) {
    Sha256 sha;
    sha.add(bytes);
    return sha.finish();
}

}  // namespace base

#pragma once
// Passwords as records that can be checked and not be turned back: scrypt (RFC 7914) with a random
// salt; the parameters stand in the record, so that stronger ones can be used later. etcd's own
// records, which are bcrypt's, are checked as well: imported users keep their passwords. Slow on
// purpose (tens of ms): not on a loop. Any thread.

#include <string>
#include <string_view>

namespace kvstore {

// "scrypt$N$r$p$salt$hash", the last two in hexadecimal.
std::string hash_password(std::string_view password);
// Whether it is one of either kind, that is checked within 64 MiB and a few seconds. Fast.
bool is_password_record(std::string_view record);
// False where is_password_record() is.
bool password_matches(std::string_view password, std::string_view record);
// A record that no password matches and that takes as long to check: for users that do not exist.
const std::string& impossible_password();

// Random bytes of OpenSSL's generator, in hexadecimal: twice as many characters.
std::string random_hex(std::size_t bytes);
// 32 bytes.
std::string sha256(std::string_view bytes);

}  // namespace kvstore

#pragma once
// Passwords as records that can be checked and not be turned back: bcrypt at etcd's default cost,
// so that users may come from etcd and go there with a snapshot. Like etcd's, it looks at the first
// 72 bytes. Slow on purpose (some 50 ms): not on a loop. Any thread.

#include <string>
#include <string_view>

namespace kvstore {

// False where it holds a zero byte, at which crypt() would end it.
bool can_be_password(std::string_view text);
// "$2b$10$", salt and hash, in 60 characters. Of what can be one.
std::string hash_password(std::string_view password);
// Whether it is such a record, that is checked within a few seconds. Fast.
bool is_password_record(std::string_view record);
// False where is_password_record() is.
bool password_matches(std::string_view password, std::string_view record);
// A record that no password matches and that takes as long to check: for users that do not exist.
const std::string& impossible_password();

// Random bytes of OpenSSL's generator, in hexadecimal: twice as many characters.
std::string random_hex(std::size_t bytes);

}  // namespace kvstore

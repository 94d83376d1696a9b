#pragma once
// Small things that every user of the client needs.

#include <chrono>
#include <string>
#include <string_view>

#include "api/object.h"

namespace api {

// The wall clock: the one place where shells of controllers, scheduler and tools read it.
std::chrono::system_clock::time_point wall_now();

// Field by field; an unset field and one that is set to its default differ.
bool same(const Message& a, const Message& b);
// The same, but that an unset field and one set to its default are equal: whether a status that was
// computed says anything new.
bool equivalent(const Message& a, const Message& b);

// Bytes that are equal for equal messages in one build of the program: maps in the order of keys.
std::string stable_bytes(const Message& message);

// The 32-bit FNV-1a hash of the bytes in the letters that names of Kubernetes' hashes are made of
// (no vowels, no look-alikes).
std::string safe_hash(std::string_view bytes);
// `length` random letters of the same alphabet. Shells only.
std::string random_suffix(int length);

}  // namespace api

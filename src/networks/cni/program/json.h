#pragma once
#include <stdbool.h>
#include <stddef.h>

/**
 * Finds one string in a JSON object.
 * @param path keys that lead to it, ended by NULL
 * @param into gets it, with an end, when it is plain: printable ASCII without escapes, and it fits
 */
bool find_string(const char *text, size_t length, const char *const *path, char *into, size_t room);

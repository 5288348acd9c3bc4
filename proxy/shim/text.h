// Text of bounded length without stdio or malloc: the shim's memory is counted in single pages.
#pragma once
#include <stddef.h>

struct text {
  size_t used;
  char bytes[1024];
};

/** Each of these cuts off what does not fit. */
void add_bytes(struct text *text, const char *bytes, size_t length);
void add(struct text *text, const char *word);
void add_number(struct text *text, long long number);
/** An ended string that lives as long as `text`. */
const char *ended(struct text *text);

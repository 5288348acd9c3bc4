#include "text.h"
#include <string.h>

void add_bytes(struct text *text, const char *bytes, size_t length) {
  size_t room = sizeof text->bytes - 1 - text->used;
  if (length > room) length = room;
  memcpy(text->bytes + text->used, bytes, length);
  text->used += length;
}

void add(struct text *text, const char *word) {
  add_bytes(text, word, strlen(word));
}

void add_number(struct text *text, long long number) {
  char digits[24];
  size_t at = sizeof digits;
  unsigned long long rest = number < 0 ? -(unsigned long long)number : (unsigned long long)number;
  do digits[--at] = (char)('0' + rest % 10);
  while ((rest /= 10) > 0);
  if (number < 0) digits[--at] = '-';
  add_bytes(text, digits + at, sizeof digits - at);
}

const char *ended(struct text *text) {
  text->bytes[text->used] = 0;
  return text->bytes;
}

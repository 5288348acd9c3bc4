#include "json.h"
#include <string.h>

// Reads no more of JSON than what leads to one string: what is wrong with the rest is the daemon's to say.

struct cursor {
  const char *at, *end;
};

static bool take(struct cursor *cursor, char wanted) {
  while (cursor->at < cursor->end && strchr(" \t\r\n", *cursor->at) && *cursor->at) cursor->at++;
  if (cursor->at == cursor->end || *cursor->at != wanted) return false;
  return cursor->at++, true;
}

/** The rest of a string whose first quote is taken. */
static bool skip_string(struct cursor *cursor) {
  for (; cursor->at < cursor->end; cursor->at++) {
    if (*cursor->at == '"') return cursor->at++, true;
    if (*cursor->at == '\\' && ++cursor->at == cursor->end) return false;
  }
  return false;
}

/** Up to the comma or bracket behind a value. */
static bool skip_value(struct cursor *cursor) {
  for (size_t depth = 0; cursor->at < cursor->end;) {
    char next = *cursor->at;
    if (depth == 0 && (next == ',' || next == '}' || next == ']')) return true;
    cursor->at++;
    if (next == '"' && !skip_string(cursor)) return false;
    if (next == '{' || next == '[') depth++;
    if (next == '}' || next == ']') depth--;
  }
  return false;
}

/** Goes to the value of a key of the object that begins here. */
static bool enter(struct cursor *cursor, const char *key) {
  if (!take(cursor, '{')) return false;
  do {
    if (!take(cursor, '"')) return false;
    const char *name = cursor->at;
    if (!skip_string(cursor)) return false;
    size_t length = (size_t)(cursor->at - 1 - name);
    if (!take(cursor, ':')) return false;
    if (length == strlen(key) && memcmp(name, key, length) == 0) return true;
    if (!skip_value(cursor)) return false;
  } while (take(cursor, ','));
  return false;
}

bool find_string(const char *text, size_t length, const char *const *path, char *into, size_t room) {
  struct cursor cursor = {text, text + length};
  for (; *path; path++)
    if (!enter(&cursor, *path)) return false;
  if (!take(&cursor, '"')) return false;
  const char *begin = cursor.at;
  if (!skip_string(&cursor)) return false;
  size_t found = (size_t)(cursor.at - 1 - begin);
  if (found >= room) return false;
  for (size_t index = 0; index < found; index++)
    if (begin[index] < ' ' || begin[index] > '~' || begin[index] == '\\') return false;
  memcpy(into, begin, found);
  into[found] = 0;
  return true;
}

/* Causal attention and its gradient on a CPU, called by XLA (jax.ffi).

   Queries, keys and values are one array [..., L, 3, H, D], what is returned is [..., L, H, D]: L
   positions, H heads of width D. One head of one document fits into a core's cache, so its scores
   are never written to memory. Scores are [key][query], and a vector's lanes are queries. So a
   softmax adds whole vectors, never the lanes of one. Zeros fill up a matrix to whole vectors. */

#include <math.h>
#include <stdlib.h>

#include "xla/ffi/api/c_api.h"

#ifdef __AVX512F__
enum { LANES = 16 };
#else
enum { LANES = 8 };
#endif
enum { ROWS = 8 }; /* rows of a tile: its sums fit into the registers */

typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int bits __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#define EACH_TILE(rows, columns) \
  for (long i = 0; i < (rows); i += ROWS) for (long j = 0; j < (columns); j += LANES)
#define AT(matrix) (*(lanes *)((matrix) + i * l + j)) /* row i, columns from j on */

static inline lanes choose(bits which, lanes a, lanes b) {
  return (lanes)(((bits)a & which) | ((bits)b & ~which));
}

/* exp(x) for x <= 0: 2^n e^r, where r is within half a ln 2 (Cephes' expf). 0 below e^-87. */
static inline lanes power(lanes x) {
  lanes n = x * 1.44269504f + 12582912.0f; /* so large that its last bits are the whole number */
  lanes whole = n - 12582912.0f, r = x - whole * 0.693359375f + whole * 2.12194440e-4f;
  lanes p = ((r * 1.9875691500e-4f + 1.3981999507e-3f) * r + 8.3334519073e-3f) * r;
  p = (((p + 4.1665795894e-2f) * r + 1.6666665459e-1f) * r + 0.5f) * r * r + r + 1.0f;
  return choose(x < -87.0f, (lanes){}, (lanes)((bits)p + ((bits)n << 23)));
}

/* The sums of a[i, k] b[k, j] over k in [from, to), for a tile of c[i, j]. In a, the next
   i is `row` floats further, and the next k `step` floats. */
static inline void tile(const float *a, long row, long step, const float *b, long wide, long from,
                        long to, float *c, long out) {
  lanes sum[ROWS] = {};
  for (long k = from; k < to; k++)
    for (int i = 0; i < ROWS; i++) sum[i] += a[i * row + k * step] * *(lanes *)(b + k * wide);
  for (int i = 0; i < ROWS; i++) *(lanes *)(c + i * out) = sum[i];
}

/* Scores, in place, become each query's probabilities of the keys up to it; of later keys, 0. */
static void softmax(float *scores, long l) {
  for (long j = 0; j < l; j += LANES) {
    lanes query, hidden = (lanes){} - 1e30f, top = hidden, sum = {};
    for (int lane = 0; lane < LANES; lane++) query[lane] = j + lane;
    for (long i = 0; i < j + LANES; i++) {
      AT(scores) = choose(query < (lanes){} + (float)i, hidden, AT(scores));
      top = choose(AT(scores) > top, AT(scores), top);
    }
    for (long i = 0; i < j + LANES; i++) sum += AT(scores) = power(AT(scores) - top);
    for (long i = 0; i < j + LANES; i++) AT(scores) /= sum;
  }
}

/* Gradients of probabilities, in place, become those of scores. */
static void softmax_gradient(const float *chance, float *gradient, long l) {
  for (long j = 0; j < l; j += LANES) {
    lanes mean = {};
    for (long i = 0; i < j + LANES; i++) mean += AT(chance) * AT(gradient);
    for (long i = 0; i < j + LANES; i++) AT(gradient) = AT(chance) * (AT(gradient) - mean);
  }
}

static void copy(const float *from, long row, float *to, long out, long l, long d, float scale) {
  for (long i = 0; i < l; i++)
    for (long j = 0; j < d; j++) to[i * out + j] = scale * from[i * row + j];
}

static void transpose(const float *from, float *to, long l, long d) {
  for (long i = 0; i < l; i++)
    for (long j = 0; j < d; j++) to[j * l + i] = from[i * d + j];
}

static long padded(long size) { return (size + LANES - 1) / LANES * LANES; }

/* All heads of all documents. With `back`, the second argument is the gradient of what `attend`
   returns without it, and the gradient of queries, keys and values is returned. */
static XLA_FFI_Error *attend(XLA_FFI_CallFrame *call, int back) {
  if (call->extension_start && call->extension_start->type == XLA_FFI_Extension_Metadata) {
    XLA_FFI_Metadata *about = ((XLA_FFI_Metadata_Extension *)call->extension_start)->metadata;
    about->api_version.major_version = XLA_FFI_API_MAJOR;
    about->api_version.minor_version = XLA_FFI_API_MINOR;
    return NULL; /* XLA only asked for the version */
  }
  XLA_FFI_Buffer **in = (XLA_FFI_Buffer **)call->args.args, *out = call->rets.rets[0];
  const int64_t *dims = in[0]->dims, rank = in[0]->rank;
  const long size = dims[rank - 4], heads = dims[rank - 2], width = dims[rank - 1];
  const long l = padded(size), d = padded(width), all = heads * width;
  const float scale = 1 / sqrtf(width);
  long documents = 1;
  for (int n = 0; n < rank - 4; n++) documents *= dims[n];

  float *room = calloc(9 * l * d + 2 * l * l, sizeof(float)), *next = room;
  float *q = next, *k = next += l * d, *v = next += l * d, *o = next += l * d;
  float *dq = next += l * d, *dk = next += l * d, *dv = next += l * d;
  float *turned_q = next += l * d, *turned_o = next += l * d;
  float *chance = next += l * d, *slope = chance + l * l;

  for (long n = 0; n < documents * heads; n++) {
    const long one = n / heads * size * all + n % heads * width;
    const long three = n / heads * size * all * 3 + n % heads * width;
    const float *from = (float *)in[0]->data + three;
    copy(from, 3 * all, q, d, size, width, scale);
    copy(from + all, 3 * all, k, d, size, width, 1);
    copy(from + 2 * all, 3 * all, v, d, size, width, 1);
    transpose(q, turned_q, l, d);
    EACH_TILE(l, l)
      if (i < j + LANES) tile(k + i * d, d, 1, turned_q + j, l, 0, width, chance + i * l + j, l);
    softmax(chance, l);
    if (!back) {
      EACH_TILE(size, d) tile(chance + i, 1, l, v + j, d, 0, i + ROWS, o + i * d + j, d);
      copy(o, d, (float *)out->data + one, all, size, width, 1);
      continue;
    }
    copy((float *)in[1]->data + one, all, o, d, size, width, 1);
    transpose(o, turned_o, l, d);
    EACH_TILE(l, l)
      if (i < j + LANES) tile(v + i * d, d, 1, turned_o + j, l, 0, width, slope + i * l + j, l);
    softmax_gradient(chance, slope, l);
    EACH_TILE(size, d) {
      tile(slope + i, 1, l, k + j, d, 0, i + ROWS, dq + i * d + j, d);
      tile(slope + i * l, l, 1, q + j, d, i, l, dk + i * d + j, d);
      tile(chance + i * l, l, 1, o + j, d, i, l, dv + i * d + j, d);
    }
    float *to = (float *)out->data + three;
    copy(dq, d, to, 3 * all, size, width, scale);
    copy(dk, d, to + all, 3 * all, size, width, 1);
    copy(dv, d, to + 2 * all, 3 * all, size, width, 1);
  }
  free(room);
  return NULL;
}

XLA_FFI_Error *attention(XLA_FFI_CallFrame *call) { return attend(call, 0); }
XLA_FFI_Error *attention_gradient(XLA_FFI_CallFrame *call) { return attend(call, 1); }

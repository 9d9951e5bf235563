// Copyright 2026 The vjepa2_planner_ros authors
// SPDX-License-Identifier: Apache-2.0
//
// A transformer block in bfloat16 for processors with AVX-512 BF16, in one thread.
//
// PyTorch makes some forty passes over tensors of all sequences, which leave the caches. Here a
// few rows at a time go through a whole half of the block, beside weights that stay in the
// second-level cache: for small models. Sums are in float32. See cpu_kernels.py.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if defined(__x86_64__) && (defined(__clang__) || __GNUC__ >= 11)
#define WORKS 1
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FAST __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma")))
#define INLINE FAST static inline __attribute__((always_inline))

typedef uint16_t bf16;
typedef uint32_t pair;  // two neighbouring bfloat16, the first in the lower half

enum {
    LANES = 16,    // pairs or float32 in a register
    PANEL = 64,    // outputs of a linear layer whose weights lie together
    TOGETHER = 6,  // rows multiplied at once: sums enough to hide how long one takes
    CHUNK = 48,    // rows that go through the second half of a block at once
};

// --- numbers -----------------------------------------------------------------------------------

INLINE __m512i load(const void *from) { return _mm512_loadu_si512(from); }

INLINE __m512 even(__m512i pairs) { return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)); }

INLINE __m512 odd(__m512i pairs) {
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xffff0000)));
}

INLINE __m256i rounded(__m512 x) { return (__m256i)_mm512_cvtneps_pbh(x); }

INLINE __m512i paired(__m512 even, __m512 odd) {
    __m512i low = _mm512_cvtepu16_epi32(rounded(even)), high = _mm512_cvtepu16_epi32(rounded(odd));
    return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

INLINE __m512 widened(const bf16 *from) {
    return even(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from)));
}

INLINE void narrow(bf16 *to, __m512 x) { _mm256_storeu_si256((__m256i *)to, rounded(x)); }

INLINE __m512i every(const pair *p) { return _mm512_set1_epi32((int)*p); }

// sum + a.even * b.even + a.odd * b.odd
INLINE __m512 dot(__m512 sum, __m512i a, __m512i b) {
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

// 2 ** x, to 4e-6 of it.
INLINE __m512 power_of_two(__m512 x) {
    __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 rest = _mm512_sub_ps(x, whole);
    __m512 y = _mm512_set1_ps(9.67377e-3f);
    y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(5.550327e-2f));
    y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(2.4022407e-1f));
    y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(6.931472e-1f));
    y = _mm512_fmadd_ps(y, rest, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(y, whole);
}

// x times the normal distribution's share below x; Abramowitz and Stegun, 7.1.26.
INLINE __m512 gelu(__m512 x) {
    __m512 size = _mm512_abs_ps(x);
    __m512 t = _mm512_rcp14_ps(
        _mm512_fmadd_ps(size, _mm512_set1_ps(0.3275911f * 0.70710678f), _mm512_set1_ps(1.0f)));
    __m512 y = _mm512_set1_ps(0.5f * 1.061405429f);
    y = _mm512_fmadd_ps(y, t, _mm512_set1_ps(0.5f * -1.453152027f));
    y = _mm512_fmadd_ps(y, t, _mm512_set1_ps(0.5f * 1.421413741f));
    y = _mm512_fmadd_ps(y, t, _mm512_set1_ps(0.5f * -0.284496736f));
    y = _mm512_fmadd_ps(y, t, _mm512_set1_ps(0.5f * 0.254829592f));
    __m512 bell = power_of_two(
        _mm512_mul_ps(_mm512_mul_ps(x, x), _mm512_set1_ps(-0.5f * 1.44269504f)));
    __m512 beyond = _mm512_mul_ps(_mm512_mul_ps(y, t), bell);  // the share above |x|
    return _mm512_fnmadd_ps(size, beyond, _mm512_max_ps(x, _mm512_setzero_ps()));
}

// --- layers ------------------------------------------------------------------------------------

typedef struct {
    const bf16 *weight, *bias;  // [dim]
    float eps;
} Norm;

typedef struct {
    const pair *weight;  // [outputs / PANEL, inputs / 2, PANEL]
    const bf16 *bias;    // [outputs]
    long inputs, outputs;
} Linear;

typedef enum { PLAIN, GELU, RESIDUAL } After;

FAST static void normalise(const Norm *norm, const bf16 *x, long rows, long dim, bf16 *out) {
    for (long r = 0; r < rows; r++, x += dim, out += dim) {
        __m512 sum = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
        for (long c = 0; c < dim; c += 2 * LANES) {
            __m512i both = load(x + c);
            sum = _mm512_add_ps(sum, _mm512_add_ps(even(both), odd(both)));
        }
        const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / dim);
        for (long c = 0; c < dim; c += 2 * LANES) {
            __m512i both = load(x + c);
            __m512 a = _mm512_sub_ps(even(both), mean), b = _mm512_sub_ps(odd(both), mean);
            squares = _mm512_fmadd_ps(a, a, _mm512_fmadd_ps(b, b, squares));
        }
        const float variance = _mm512_reduce_add_ps(squares) / dim;
        const __m512 scale = _mm512_set1_ps(1.0f / sqrtf(variance + norm->eps));
        for (long c = 0; c < dim; c += 2 * LANES) {
            __m512i both = load(x + c), weight = load(norm->weight + c), bias = load(norm->bias + c);
            __m512 a = _mm512_mul_ps(_mm512_sub_ps(even(both), mean), scale);
            __m512 b = _mm512_mul_ps(_mm512_sub_ps(odd(both), mean), scale);
            a = _mm512_fmadd_ps(a, even(weight), even(bias));
            b = _mm512_fmadd_ps(b, odd(weight), odd(bias));
            _mm512_storeu_si512(out + c, paired(a, b));
        }
    }
}

// One panel of a layer for TOGETHER rows, of which count are meant.
INLINE void multiply_panel(const Linear *layer, const pair *panel, long first, const bf16 *x,
                           long count, After after, const bf16 *residual, bf16 *out) {
    __m512 sums[TOGETHER][PANEL / LANES];
    const pair *rows[TOGETHER];
    for (int i = 0; i < TOGETHER; i++) {
        rows[i] = (const pair *)(x + (i < count ? i : 0) * layer->inputs);
        for (int j = 0; j < PANEL / LANES; j++)
            sums[i][j] = widened(layer->bias + first + j * LANES);
    }
    for (long p = 0; p < layer->inputs / 2; p++, panel += PANEL) {
        __m512i weights[PANEL / LANES];
        for (int j = 0; j < PANEL / LANES; j++) weights[j] = load(panel + j * LANES);
        for (int i = 0; i < TOGETHER; i++) {
            const __m512i input = every(rows[i] + p);
            for (int j = 0; j < PANEL / LANES; j++) sums[i][j] = dot(sums[i][j], weights[j], input);
        }
    }
    for (int i = 0; i < TOGETHER; i++) {
        if (i >= count) break;
        for (int j = 0; j < PANEL / LANES; j++) {
            const long at = i * layer->outputs + first + j * LANES;
            __m512 y = sums[i][j];
            if (after == GELU) y = gelu(y);
            if (after == RESIDUAL) y = _mm512_add_ps(y, widened(residual + at));
            narrow(out + at, y);
        }
    }
}

INLINE void multiply(const Linear *layer, const bf16 *x, long rows, After after,
                     const bf16 *residual, bf16 *out) {
    const pair *panel = layer->weight;
    for (long first = 0; first < layer->outputs; first += PANEL, panel += PANEL * layer->inputs / 2)
        for (long r = 0; r < rows; r += TOGETHER)
            multiply_panel(layer, panel, first, x + r * layer->inputs, rows - r, after,
                           residual + r * layer->outputs, out + r * layer->outputs);
}

// Room in one piece of memory; the first call only adds up.
static void *room(char *memory, size_t *used, size_t bytes) {
    void *here = memory ? memory + *used : NULL;
    *used += (bytes + 63) / 64 * 64;
    return here;
}

// --- the second half: output layer of the attention, norm and MLP ------------------------------

typedef struct {
    Linear proj, fc1, fc2;
    Norm norm;
} SecondHalf;

FAST static int finish(const SecondHalf *half, const bf16 *attended, const bf16 *residual,
                       long rows, bf16 *out) {
    const long dim = half->proj.outputs, hidden = half->fc1.outputs;
    bf16 *memory = aligned_alloc(64, 2 * CHUNK * (2 * dim + hidden));
    if (!memory) return -1;
    bf16 *x = memory, *normed = x + CHUNK * dim, *wide = normed + CHUNK * dim;
    for (long r = 0; r < rows; r += CHUNK) {
        const long count = rows - r < CHUNK ? rows - r : CHUNK;
        multiply(&half->proj, attended + r * dim, count, RESIDUAL, residual + r * dim, x);
        normalise(&half->norm, x, count, dim, normed);
        multiply(&half->fc1, normed, count, GELU, NULL, wide);
        multiply(&half->fc2, wide, count, RESIDUAL, x, out + r * dim);
    }
    free(memory);
    return 0;
}

// --- the first half: norm, queries, keys and values, and attention -----------------------------

typedef struct {
    Norm norm;
    Linear qkv;
    long heads, head_dim;
} FirstHalf;

typedef struct {
    const bf16 *keys, *values;  // [batch or 1, heads, length, head_dim], the keys rotated
    long length;
    int shared;  // of batch 1
} Past;

typedef struct {  // of one sequence or head, with keys padded to whole registers
    bf16 *normed, *qkv;            // [tokens, dim], [tokens, 3, heads, head_dim]
    pair *queries;                 // [tokens, head_dim / 2]
    bf16 *key_rows, *value_rows;   // [count, head_dim]
    pair *keys;                    // [head_dim / 2, padded]
    pair *values;                  // [padded / 2, head_dim], a pair is of two tokens
    float *scores;                 // [TOGETHER, padded]
    bf16 *weights;                 // [TOGETHER, padded]
} Scratch;

static Scratch lay_out(char *memory, size_t *used, long tokens, long dim, long head_dim, long count,
                       long padded) {
    const long rows = (tokens + TOGETHER - 1) / TOGETHER * TOGETHER;
    *used = 0;
    return (Scratch){
        .normed = room(memory, used, 2 * tokens * dim),
        .qkv = room(memory, used, 2 * tokens * 3 * dim),
        .queries = room(memory, used, 2 * rows * head_dim),
        .key_rows = room(memory, used, 2 * count * head_dim),
        .value_rows = room(memory, used, 2 * count * head_dim),
        .keys = room(memory, used, 2 * padded * head_dim),
        .values = room(memory, used, 2 * padded * head_dim),
        .scores = room(memory, used, 4 * TOGETHER * padded),
        .weights = room(memory, used, 2 * TOGETHER * padded),
    };
}

// As rotary.rotate, one token of one head.
INLINE void rotate(const bf16 *x, const bf16 *cos, const bf16 *sin, long head_dim, pair *out) {
    for (long c = 0; c < head_dim; c += 2 * LANES) {
        __m512i both = load(x + c), cosines = load(cos + c), sines = load(sin + c);
        __m512 a = even(both), b = odd(both);
        _mm512_storeu_si512(out + c / 2, paired(
            _mm512_fmadd_ps(a, even(cosines), _mm512_mul_ps(b, even(sines))),
            _mm512_fmadd_ps(b, odd(cosines), _mm512_mul_ps(a, odd(sines)))));
    }
}

// Transpose LANES x LANES pairs, a bit of row and column at a time; missing rows are zeros.
INLINE void transpose(const pair *in, long in_stride, long count, pair *out, long out_stride) {
    __m512i rows[LANES];
    for (int i = 0; i < LANES; i++)
        rows[i] = i < count ? load(in + i * in_stride) : _mm512_setzero_si512();
    #pragma GCC unroll 4
    for (int bit = 1; bit < LANES; bit *= 2) {
        int low[LANES], high[LANES];
        #pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) {
            low[i] = i & bit ? LANES + (i ^ bit) : i;
            high[i] = i & bit ? LANES + i : i | bit;
        }
        #pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) {
            if (i & bit) continue;
            const __m512i a = rows[i], b = rows[i | bit];
            rows[i] = _mm512_permutex2var_epi32(a, load(low), b);
            rows[i | bit] = _mm512_permutex2var_epi32(a, load(high), b);
        }
    }
    for (int i = 0; i < LANES; i++) _mm512_store_si512(out + i * out_stride, rows[i]);
}

// Put each row beside the next: rows [count, head_dim] to pairs [padded / 2, head_dim].
INLINE void interleave(const bf16 *rows, long count, long padded, long head_dim, pair *out) {
    for (long m = 0; m < padded; m += 2, rows += 2 * head_dim, out += head_dim) {
        for (long d = 0; d < head_dim; d += LANES) {
            __m512i first = _mm512_setzero_si512(), second = first;
            if (m < count) first = _mm512_cvtepu16_epi32(_mm256_loadu_si256((void *)(rows + d)));
            if (m + 1 < count)
                second = _mm512_cvtepu16_epi32(_mm256_loadu_si256((void *)(rows + head_dim + d)));
            _mm512_store_si512(out + d, _mm512_or_si512(first, _mm512_slli_epi32(second, 16)));
        }
    }
}

INLINE void score(const Scratch *s, const pair *queries, long pairs, long padded, float scale) {
    for (long m = 0; m < padded; m += LANES) {
        __m512 sums[TOGETHER];
        for (int i = 0; i < TOGETHER; i++) sums[i] = _mm512_setzero_ps();
        for (long p = 0; p < pairs; p++) {
            const __m512i key = _mm512_load_si512(s->keys + p * padded + m);
            for (int i = 0; i < TOGETHER; i++)
                sums[i] = dot(sums[i], key, every(queries + i * pairs + p));
        }
        for (int i = 0; i < TOGETHER; i++)
            _mm512_store_ps(s->scores + i * padded + m,
                            _mm512_mul_ps(sums[i], _mm512_set1_ps(scale)));
    }
}

// Make weights of scores, powers of two below 1; return one over their sum.
INLINE float soften(const float *scores, long count, long padded, bf16 *weights) {
    const long whole = padded - LANES;
    const __mmask16 rest = (__mmask16)(0xffffu >> (padded - count));
    __m512 most = _mm512_mask_mov_ps(
        _mm512_set1_ps(-INFINITY), rest, _mm512_load_ps(scores + whole));
    for (long m = 0; m < whole; m += LANES)
        most = _mm512_max_ps(most, _mm512_load_ps(scores + m));
    most = _mm512_set1_ps(_mm512_reduce_max_ps(most));
    __m512 sum = _mm512_setzero_ps();
    for (long m = 0; m < padded; m += LANES) {
        __m512 x = power_of_two(_mm512_sub_ps(_mm512_load_ps(scores + m), most));
        if (m == whole) x = _mm512_maskz_mov_ps(rest, x);
        sum = _mm512_add_ps(sum, x);
        narrow(weights + m, x);
    }
    return 1.0f / _mm512_reduce_add_ps(sum);
}

INLINE void mix(const Scratch *s, const float *scales, long head_dim, long padded, long count,
                bf16 *out, long stride) {
    for (long d = 0; d < head_dim; d += LANES) {
        __m512 sums[TOGETHER];
        for (int i = 0; i < TOGETHER; i++) sums[i] = _mm512_setzero_ps();
        for (long m = 0; m < padded; m += 2) {
            const __m512i value = _mm512_load_si512(s->values + m / 2 * head_dim + d);
            for (int i = 0; i < TOGETHER; i++)
                sums[i] = dot(sums[i], value, every((pair *)(s->weights + i * padded + m)));
        }
        for (int i = 0; i < TOGETHER && i < count; i++)
            narrow(out + i * stride + d, _mm512_mul_ps(sums[i], _mm512_set1_ps(scales[i])));
    }
}

// One head of one sequence; s->qkv holds its tokens, s->key_rows and s->value_rows the past.
INLINE void attend_head(Scratch *s, long head, long tokens, long past, long heads, long head_dim,
                        const bf16 *cos, const bf16 *sin, bf16 *out) {
    const long dim = heads * head_dim, pairs = head_dim / 2, count = past + tokens;
    const long padded = (count + LANES - 1) / LANES * LANES;
    for (long n = 0; n < tokens; n++) {
        const bf16 *q = s->qkv + n * 3 * dim + head * head_dim, *k = q + dim, *v = k + dim;
        const long of_q = n * 2 * dim + head * head_dim, of_k = of_q + dim;
        bf16 *key = s->key_rows + (past + n) * head_dim;
        rotate(q, cos + of_q, sin + of_q, head_dim, s->queries + n * pairs);
        rotate(k, cos + of_k, sin + of_k, head_dim, (pair *)key);
        memcpy(s->value_rows + (past + n) * head_dim, v, 2 * head_dim);
    }
    for (long m = 0; m < count; m += LANES)
        for (long p = 0; p < pairs; p += LANES)
            transpose((pair *)s->key_rows + m * pairs + p, pairs, count - m,
                      s->keys + p * padded + m, padded);
    interleave(s->value_rows, count, padded, head_dim, s->values);
    const float scale = 1.44269504f / sqrtf((float)head_dim);
    for (long n = 0; n < tokens; n += TOGETHER) {
        float scales[TOGETHER];
        score(s, s->queries + n * pairs, pairs, padded, scale);
        for (int i = 0; i < TOGETHER; i++)
            scales[i] = soften(s->scores + i * padded, count, padded, s->weights + i * padded);
        mix(s, scales, head_dim, padded, tokens - n, out + n * dim + head * head_dim, dim);
    }
}

FAST static int attend(const FirstHalf *half, const bf16 *x, long batch, long tokens,
                       const bf16 *cos, const bf16 *sin, const Past *past, bf16 *keys,
                       bf16 *values, bf16 *out) {
    const long heads = half->heads, hd = half->head_dim, dim = heads * hd;
    const long count = past->length + tokens, padded = (count + LANES - 1) / LANES * LANES;
    size_t size;
    lay_out(NULL, &size, tokens, dim, hd, count, padded);
    char *memory = aligned_alloc(64, size);
    if (!memory) return -1;
    Scratch s = lay_out(memory, &size, tokens, dim, hd, count, padded);
    memset(s.queries, 0, 2 * tokens * hd);
    for (long b = 0; b < batch; b++) {
        normalise(&half->norm, x + b * tokens * dim, tokens, dim, s.normed);
        multiply(&half->qkv, s.normed, tokens, PLAIN, NULL, s.qkv);
        for (long h = 0; h < heads; h++) {
            if (keys) {
                s.key_rows = keys + (b * heads + h) * count * hd;
                s.value_rows = values + (b * heads + h) * count * hd;
            }
            if (past->length) {
                const long old = ((past->shared ? 0 : b) * heads + h) * past->length * hd;
                memcpy(s.key_rows, past->keys + old, 2 * past->length * hd);
                memcpy(s.value_rows, past->values + old, 2 * past->length * hd);
            }
            attend_head(&s, h, tokens, past->length, heads, hd, cos, sin, out + b * tokens * dim);
        }
    }
    free(memory);
    return 0;
}
#endif

// --- Python: tensors are given by their addresses -----------------------------------------------

#ifdef WORKS
typedef unsigned long long Address;

static PyObject *done(int failed) {
    if (failed) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *py_attend(PyObject *self, PyObject *args) {
    Address x, cos, sin, weight, bias, norm_weight, norm_bias, past_keys, past_values, keys, values, out;
    FirstHalf half;
    Past past;
    long batch, tokens;
    if (!PyArg_ParseTuple(args, "(KKf)(KK)(ll)K(KK)(KKlp)(KK)K(ll)", &norm_weight, &norm_bias,
                          &half.norm.eps, &weight, &bias, &half.heads, &half.head_dim, &x, &cos,
                          &sin, &past_keys, &past_values, &past.length, &past.shared, &keys,
                          &values, &out, &batch, &tokens))
        return NULL;
    const long dim = half.heads * half.head_dim;
    int failed;
    half.norm.weight = (bf16 *)norm_weight, half.norm.bias = (bf16 *)norm_bias;
    half.qkv = (Linear){(pair *)weight, (bf16 *)bias, dim, 3 * dim};
    past.keys = (bf16 *)past_keys, past.values = (bf16 *)past_values;
    Py_BEGIN_ALLOW_THREADS
    failed = attend(&half, (bf16 *)x, batch, tokens, (bf16 *)cos, (bf16 *)sin, &past,
                    (bf16 *)keys, (bf16 *)values, (bf16 *)out);
    Py_END_ALLOW_THREADS
    return done(failed);
}

static PyObject *py_finish(PyObject *self, PyObject *args) {
    Address attended, residual, out, proj[2], norm[2], fc1[2], fc2[2];
    long rows, dim, hidden;
    SecondHalf half;
    if (!PyArg_ParseTuple(args, "(KK)(KKf)(KK)(KK)(ll)KKKl", &proj[0], &proj[1], &norm[0], &norm[1],
                          &half.norm.eps, &fc1[0], &fc1[1], &fc2[0], &fc2[1], &dim, &hidden,
                          &attended, &residual, &out, &rows))
        return NULL;
    int failed;
    half.norm.weight = (bf16 *)norm[0], half.norm.bias = (bf16 *)norm[1];
    half.proj = (Linear){(pair *)proj[0], (bf16 *)proj[1], dim, dim};
    half.fc1 = (Linear){(pair *)fc1[0], (bf16 *)fc1[1], dim, hidden};
    half.fc2 = (Linear){(pair *)fc2[0], (bf16 *)fc2[1], hidden, dim};
    Py_BEGIN_ALLOW_THREADS
    failed = finish(&half, (bf16 *)attended, (bf16 *)residual, rows, (bf16 *)out);
    Py_END_ALLOW_THREADS
    return done(failed);
}

static int can_work(void) {
    return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

static PyMethodDef methods[] = {
#ifdef WORKS
    {"attend", py_attend, METH_VARARGS, "Norm, queries, keys and values, and attention."},
    {"finish", py_finish, METH_VARARGS, "Output layer of the attention, norm and MLP."},
#endif
    {NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_cpu_kernels", "Transformer blocks in bfloat16.", -1, methods};

PyMODINIT_FUNC PyInit__cpu_kernels(void) {
#ifdef WORKS
    if (can_work()) return PyModule_Create(&definition);
#endif
    PyErr_SetString(PyExc_ImportError, "made for processors with AVX-512 BF16");
    return NULL;
}

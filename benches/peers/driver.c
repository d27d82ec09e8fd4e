/* Times the engines that have a C API, or are compiled to C, without Python in between; prints what engine-compare prints.
 *
 *   driver ENGINE LIBRARY MODEL X.f64 ROWS FEATURES PRED_OUT CELLS
 *
 * ENGINE is lightgbm, xgboost, lleaves, tl2cgen (float64 rows) or tl2cgen-f32; LIBRARY is the shared object that holds it;
 * MODEL is a file for the first two and not looked at for the others. CELLS is 1/1,64/1,… (batch/threads). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_FEATURES 4096
#define CHUNK_NS 500000ull
#define ENOUGH_CPU_NS 120000000ull
#define ENOUGH_WALL_NS 3000000000ull
#define MIN_CHUNKS 3
#define MAX_CHUNKS 100000

static long rows, features;
static double *rows64, *scores;
static float *rows32;
static void *library;
static int threads = 1;

static void fail(const char *what, const char *detail) {
  fprintf(stderr, "driver: %s: %s\n", what, detail ? detail : "?");
  exit(1);
}

static void *symbol(const char *name) {
  void *found = dlsym(library, name);
  if (!found) fail("the library lacks", name);
  return found;
}

static uint64_t clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* An engine answers rows [first, first + count) into scores. */
typedef void (*predict_fn)(long first, long count);

/* ---- LightGBM ---- */
enum { LGBM_FLOAT64 = 1, LGBM_ROW_MAJOR = 1, LGBM_NORMAL = 0 };
static void *lgbm_booster, *lgbm_fast_config;
static int (*lgbm_fast)(void *, const void *, int64_t *, double *);
static int (*lgbm_matrix)(void *, const void *, int, int32_t, int32_t, int, int, int, int, const char *, int64_t *, double *);

static void lightgbm_open(const char *model) {
  int iterations;
  int (*load)(const char *, int *, void **) = symbol("LGBM_BoosterCreateFromModelfile");
  int (*init)(void *, int, int, int, int, int32_t, const char *, void **) =
      symbol("LGBM_BoosterPredictForMatSingleRowFastInit");
  lgbm_fast = symbol("LGBM_BoosterPredictForMatSingleRowFast");
  lgbm_matrix = symbol("LGBM_BoosterPredictForMat");
  if (load(model, &iterations, &lgbm_booster)) fail("LightGBM does not load", model);
  if (init(lgbm_booster, LGBM_NORMAL, 0, 0, LGBM_FLOAT64, (int32_t)features, "num_threads=1", &lgbm_fast_config))
    fail("LightGBM", "single-row-fast does not start");
}

static void lightgbm_predict(long first, long count) {
  int64_t length;
  const double *row = rows64 + first * features;
  int failed;
  if (count == 1) {
    failed = lgbm_fast(lgbm_fast_config, row, &length, scores + first);
  } else {
    const char *parameters = threads == 1 ? "num_threads=1" : "num_threads=2";
    failed = lgbm_matrix(lgbm_booster, row, LGBM_FLOAT64, (int32_t)count, (int32_t)features, LGBM_ROW_MAJOR, LGBM_NORMAL,
                         0, 0, parameters, &length, scores + first);
  }
  if (failed) fail("LightGBM", "prediction failed");
}

/* ---- XGBoost ---- */
static void *xgb_booster, *xgb_proxy;
static int (*xgb_dense)(void *, const char *, const char *, void *, const uint64_t **, uint64_t *, const float **);
static int (*xgb_set)(void *, const char *, const char *);

static void xgboost_open(const char *model) {
  int (*create)(void *const *, uint64_t, void **) = symbol("XGBoosterCreate");
  int (*load)(void *, const char *) = symbol("XGBoosterLoadModel");
  int (*proxy)(void **) = symbol("XGProxyDMatrixCreate");
  xgb_dense = symbol("XGBoosterPredictFromDense");
  xgb_set = symbol("XGBoosterSetParam");
  if (create(NULL, 0, &xgb_booster) || load(xgb_booster, model) || proxy(&xgb_proxy)) fail("XGBoost does not load", model);
}

static void xgboost_predict(long first, long count) {
  static const char settings[] = "{\"type\":0,\"training\":false,\"iteration_begin\":0,\"iteration_end\":0,"
                                 "\"strict_shape\":false,\"missing\":NaN,\"cache_id\":0}";
  char array[200];
  const uint64_t *shape;
  uint64_t dimensions;
  const float *answers;
  snprintf(array, sizeof array, "{\"data\":[%zu,true],\"shape\":[%ld,%ld],\"typestr\":\"<f4\",\"version\":3}",
           (size_t)(rows32 + first * features), count, features);
  if (xgb_dense(xgb_booster, array, settings, xgb_proxy, &shape, &dimensions, &answers))
    fail("XGBoost", "prediction failed");
  for (long row = 0; row < count; row++) scores[first + row] = answers[row];
}

/* ---- Compiled models: plain functions for one thread; a standing second thread takes the second half. ---- */
union entry64 { int missing; double value; };
union entry32 { int missing; float value; };
static void *compiled;
static int class_one; /* where P(class 1) stands among a row's answers */

static void tl2cgen64_predict(long first, long count) {
  void (*row)(union entry64 *, int, double *) = compiled;
  union entry64 entries[MAX_FEATURES];
  for (long r = first; r < first + count; r++) {
    double answers[8] = {0};
    memcpy(entries, rows64 + r * features, (size_t)features * sizeof(double));
    row(entries, 0, answers);
    scores[r] = answers[class_one];
  }
}

static void tl2cgen32_predict(long first, long count) {
  void (*row)(union entry32 *, int, float *) = compiled;
  union entry32 entries[MAX_FEATURES];
  for (long r = first; r < first + count; r++) {
    float answers[8] = {0};
    for (long f = 0; f < features; f++) entries[f].value = rows32[r * features + f];
    row(entries, 0, answers);
    scores[r] = answers[class_one];
  }
}

static void lleaves_predict(long first, long count) {
  void (*batch)(const double *, double *, int, int) = compiled;
  batch(rows64 + first * features, scores + first, 0, (int)count);
}

static predict_fn half;
static long half_first, half_count;
static pthread_mutex_t half_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t half_given = PTHREAD_COND_INITIALIZER, half_done = PTHREAD_COND_INITIALIZER;

static void *second_thread(void *unused) {
  (void)unused;
  pthread_mutex_lock(&half_lock);
  for (;;) {
    while (!half_count) pthread_cond_wait(&half_given, &half_lock);
    pthread_mutex_unlock(&half_lock);
    half(half_first, half_count);
    pthread_mutex_lock(&half_lock);
    half_count = 0;
    pthread_cond_signal(&half_done);
  }
  return NULL;
}

static void in_halves(long first, long count) {
  long mine = count / 2;
  pthread_mutex_lock(&half_lock);
  half_first = first + mine;
  half_count = count - mine;
  pthread_cond_signal(&half_given);
  pthread_mutex_unlock(&half_lock);
  half(first, mine);
  pthread_mutex_lock(&half_lock);
  while (half_count) pthread_cond_wait(&half_done, &half_lock);
  pthread_mutex_unlock(&half_lock);
}

/* ---- Measuring ---- */
static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static long next_row;
static void call(predict_fn predict, long batch) {
  if (next_row + batch > rows) next_row = 0;
  predict(next_row, batch);
  next_row += batch;
}

static void measure(predict_fn predict, long batch) {
  static double chunks[MAX_CHUNKS];
  long count = 0, calls = 0, per_chunk;
  next_row = 0;
  call(predict, batch);
  uint64_t start = clock_ns(CLOCK_MONOTONIC), taken = 0;
  for (; taken < 4 * CHUNK_NS && calls < 10000; calls++) {
    call(predict, batch);
    taken = clock_ns(CLOCK_MONOTONIC) - start;
  }
  per_chunk = (long)(CHUNK_NS * (uint64_t)calls / taken);
  if (per_chunk < 1) per_chunk = 1;
  uint64_t cpu_start = clock_ns(CLOCK_PROCESS_CPUTIME_ID), cpu;
  start = clock_ns(CLOCK_MONOTONIC);
  do {
    uint64_t chunk = clock_ns(CLOCK_MONOTONIC);
    for (long i = 0; i < per_chunk; i++) call(predict, batch);
    chunks[count++] = (double)(clock_ns(CLOCK_MONOTONIC) - chunk) / (double)(per_chunk * batch);
    cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_start;
  } while (count < MAX_CHUNKS &&
           (count < MIN_CHUNKS || (cpu < ENOUGH_CPU_NS && clock_ns(CLOCK_MONOTONIC) - start < ENOUGH_WALL_NS)));
  qsort(chunks, (size_t)count, sizeof *chunks, ascending);
  printf("{\"batch\":%ld,\"threads\":%d,\"wall_ns\":%.1f,\"cpu_ns\":%.1f}\n", batch, threads, chunks[count / 2],
         (double)cpu / (double)(count * per_chunk * batch));
}

static void read_rows(const char *path) {
  size_t numbers = (size_t)(rows * features);
  rows64 = malloc(numbers * sizeof *rows64);
  rows32 = malloc(numbers * sizeof *rows32);
  scores = calloc((size_t)rows, sizeof *scores);
  FILE *file = fopen(path, "rb");
  if (!rows64 || !rows32 || !scores || !file || fread(rows64, sizeof *rows64, numbers, file) != numbers)
    fail("cannot read", path);
  fclose(file);
  for (size_t i = 0; i < numbers; i++) rows32[i] = (float)rows64[i];
}

static predict_fn open_engine(const char *engine, const char *model) {
  if (!strcmp(engine, "lightgbm")) return lightgbm_open(model), lightgbm_predict;
  if (!strcmp(engine, "xgboost")) return xgboost_open(model), xgboost_predict;
  if (!strcmp(engine, "lleaves")) return compiled = symbol("forest_root"), lleaves_predict;
  class_one = strstr(model, "forest") != NULL; /* a forest answers for both classes, boosted trees for one */
  if (!strcmp(engine, "tl2cgen")) return compiled = symbol("predict"), tl2cgen64_predict;
  if (!strcmp(engine, "tl2cgen-f32")) return compiled = symbol("predict"), tl2cgen32_predict;
  fail("unknown engine", engine);
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 9) fail("usage", "driver ENGINE LIBRARY MODEL X.f64 ROWS FEATURES PRED_OUT CELLS");
  rows = atol(argv[5]);
  features = atol(argv[6]);
  if (rows < 1 || features < 1 || features > MAX_FEATURES) fail("ROWS or FEATURES", "out of range");
  read_rows(argv[4]);
  if (!(library = dlopen(argv[2], RTLD_NOW | RTLD_LOCAL))) fail("cannot open the library", dlerror());
  predict_fn predict = open_engine(argv[1], argv[3]), split = predict;
  int is_xgboost = predict == xgboost_predict;
  if (!is_xgboost && predict != lightgbm_predict) {
    pthread_t second;
    half = predict;
    split = in_halves;
    if (pthread_create(&second, NULL, second_thread, NULL)) fail("pthread_create", NULL);
  }
  for (char *cell = strtok(argv[8], ","); cell; cell = strtok(NULL, ",")) {
    long batch;
    if (sscanf(cell, "%ld/%d", &batch, &threads) != 2 || batch < 1 || threads < 1 || threads > 2) fail("bad cell", cell);
    if (batch > rows) continue;
    if (is_xgboost && xgb_set(xgb_booster, "nthread", threads == 1 ? "1" : "2")) fail("XGBoost", "nthread");
    measure(threads == 1 ? predict : split, batch);
  }
  threads = 1;
  predict(0, rows);
  FILE *file = fopen(argv[7], "wb");
  if (!file || fwrite(scores, sizeof *scores, (size_t)rows, file) != (size_t)rows) fail("cannot write", argv[7]);
  fclose(file);
  return 0;
}

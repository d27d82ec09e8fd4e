-- One row of 30 named features, as a client sends it.
local features = {}
for n = 0, 29 do
  features[#features + 1] = string.format('"feature_%02d":%.6f', n, (n * 0.37) % 3 - 1.5)
end
wrk.method = "POST"
wrk.path = "/predict"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"model":"bench","features":{' .. table.concat(features, ",") .. "}}"

-- Posts one body again and again: wrk … -s post.lua URL -- PATH FILE [HEADER VALUE]…
function init(args)
  wrk.method = "POST"
  wrk.path = args[1]
  local file = assert(io.open(args[2], "rb"))
  wrk.body = file:read("*a")
  file:close()
  for at = 3, #args, 2 do
    wrk.headers[args[at]] = args[at + 1]
  end
end

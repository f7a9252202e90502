# Answers how Rack reads a request, with the middleware of Rails that overrides methods.
use Rack::MethodOverride
run lambda { |env|
  request = Rack::Request.new(env)
  path = Rack::Utils.unescape_path(request.path_info)
  [200, { "content-type" => "text/plain" }, ["#{request.request_method} #{request.path_info}\n#{request.request_method} #{path}\n"]]
}

<?php
// Answers how PHP services read a request: the path by parse_url, decoded, the
// method with Symfony's overrides.
header('Content-Type: text/plain');
$path = rawurldecode((string) parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH));
echo $_SERVER['REQUEST_METHOD'], ' ', $path, "\n";
// A front controller's path is what stands behind its own name.
$info = preg_replace('~^.*?\.php(?=/)~i', '', $path);
echo $_SERVER['REQUEST_METHOD'], ' ', $info, "\n";
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $method = $_SERVER['HTTP_X_HTTP_METHOD_OVERRIDE'] ?? $_POST['_method'] ?? $_GET['_method'] ?? 'POST';
    echo is_string($method) ? strtoupper($method) : 'POST', ' ', $path, "\n";
}

<%-- Answers how a servlet reads a request: by what Tomcat has made of the path; by the path
     as it was sent, without parameters and decoded, as filters for single paths do. --%>
<%@ page contentType="text/plain; charset=UTF-8" session="false" trimDirectiveWhitespaces="true" %>
<%
String sent = request.getRequestURI();
String[] paths = {
	request.getServletPath() + (request.getPathInfo() == null ? "" : request.getPathInfo()),
	sent,
	java.net.URLDecoder.decode(sent.replaceAll(";[^/]*", "").replace("+", "%2B"), "UTF-8").replaceAll("/+", "/"),
};
for (String path : paths) {
	out.print(request.getMethod() + " " + path + "\n");
}
%>

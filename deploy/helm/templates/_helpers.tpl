{{- define "rewardplane.name" -}}
{{ .Values.nameOverride | default .Release.Name }}
{{- end -}}
